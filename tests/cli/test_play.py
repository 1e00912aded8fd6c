"""`tootlearn play`."""

from tootlearn.generation import playground


def test_the_playground_gets_the_model_and_the_port(run, monkeypatch):
    calls = []
    monkeypatch.setattr(playground, "serve_playground", lambda *args: calls.append(args))
    assert (
        run("play", "--model", "tiny", "--vocoder", "none", "--port", 7, "--no-browser").status == 0
    )
    ((generator, port, browser),) = calls
    assert generator.vocoder is None and generator.model.autoencoder is None
    assert port == 7 and browser is False
