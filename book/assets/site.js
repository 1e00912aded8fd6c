"use strict";

/* What scrolls can be reached by keyboard. It is known only when fonts and mathematics are set. */
function reachable() {
  for (const part of document.querySelectorAll("mjx-container[display], pre, table, .cell_output, .cell_output .output")) {
    if (part.scrollWidth > part.clientWidth + 1) {
      part.tabIndex = 0;
      if (!part.hasAttribute("aria-label") && part.tagName !== "TABLE") {
        part.setAttribute("role", "group");
        part.setAttribute("aria-label", part.tagName === "PRE" ? "Code or text, scrolls" : "Formula or output, scrolls");
      }
    }
  }
}

window.addEventListener("load", () => {
  const typeset = window.MathJax && window.MathJax.startup ? window.MathJax.startup.promise : Promise.resolve();
  typeset.then(reachable);
  window.addEventListener("resize", reachable);
});
