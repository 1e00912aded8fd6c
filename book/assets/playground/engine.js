/* The worker, behind functions that return promises. */

export class Engine {
  constructor() {
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.waiting = new Map();
    this.count = 0;
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const { done, failed } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) done(result);
      else failed(new Error(error));
    };
    this.worker.onerror = () => {
      for (const { failed } of this.waiting.values()) failed(new Error("the worker could not be started"));
      this.waiting.clear();
    };
  }

  /* "open", "toot", "hear", "spectrogram" or "drawing"; see worker.js. */
  ask(name, request) {
    return new Promise((done, failed) => {
      this.waiting.set(++this.count, { done, failed });
      this.worker.postMessage({ id: this.count, name, request });
    });
  }
}
