"""What a notebook shows: pictures, one live line, a table. The kernel's parts are played here."""

import io
import pickle
import sys
import types

import numpy as np
import pytest

from numpyvae import VAE, Binomial, plots
from numpyvae.data import load_digits
from numpyvae.live_line import LiveLine
from numpyvae.progress import Progress, Steps
from numpyvae.training import History


@pytest.fixture
def kernel(monkeypatch):
    """Standard output of a notebook's cell, and the outputs that the cell has: (shown, updates)."""
    outputs = []

    class Handle:
        def update(self, data, raw):
            assert raw
            outputs[-1].append(data["text/plain"])

    def display(data, raw, display_id):
        assert raw
        assert display_id
        outputs.append([data["text/plain"]])
        return Handle()

    class OutStream(io.StringIO):
        __module__ = "ipykernel.iostream"

    modules = {"IPython.display": types.SimpleNamespace(display=display)}
    system = types.SimpleNamespace(modules=modules, stdout=OutStream())
    monkeypatch.setattr("numpyvae.live_line.sys", system)
    return outputs


def small():
    return VAE(64, 2, (8,), likelihood=Binomial(16))


@pytest.fixture
def x():
    return load_digits().x_train[:100]


def test_fit_in_a_notebook_is_one_output_that_ends_at_the_last_epoch(kernel, x, capsys):
    history = small().fit(x, epochs=30)
    assert capsys.readouterr() == ("", "")
    (line,) = kernel
    assert line[-1].startswith(f"epoch 30/30  ELBO {history[-1]['elbo']:.2f}")
    assert line[-1].endswith("0:00 left")
    assert not any("\n" in text or "\r" in text for text in line)


def test_a_notebook_gets_no_flood_of_messages(kernel, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)  # all of it within a moment
    progress = Progress(1000)
    for epoch in range(1000):
        progress.end_epoch({"loss": float(epoch)})
    progress.close()
    assert len(kernel[0]) == 2
    assert "loss 999" in kernel[0][-1]


def test_steps_of_other_work_are_a_live_line_too(kernel):
    steps = Steps("drawing", 2)
    steps.advance()
    steps.advance()
    steps.close()
    assert kernel[0][0].startswith("drawing: 50%")


def test_two_fits_are_two_outputs_and_silence_is_none(kernel, x):
    vae = small()
    vae.fit(x, epochs=1)
    vae.fit(x, epochs=1)
    vae.fit(x, epochs=1, verbose=False)
    assert [line[-1].split("  ")[0] for line in kernel] == ["epoch 1/1", "epoch 2/2"]


def test_redirected_output_of_a_notebook_is_a_line_for_each_epoch(kernel, x):
    stream = io.StringIO()
    progress = Progress(2, stream)
    for _ in range(2):
        progress.end_epoch({"loss": 1.0})
    progress.close()
    assert stream.getvalue().count("\n") == 2
    assert kernel == []


def test_without_a_notebook_there_is_no_display(monkeypatch):
    assert LiveLine(io.StringIO()).display is None
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=print))
    assert LiveLine(io.StringIO()).display is None  # IPython on a terminal


def test_every_figure_has_a_picture_for_a_notebook(x):
    vae = small()
    vae.fit(x, epochs=2, verbose=False)
    figures = (
        plots.learning_curves(vae.history),
        plots.reconstructions(vae, x),
        plots.samples(vae, 4),
        plots.latent_space(vae, x),
        plots.manifold(vae, 3),
    )
    assert all(type(figure).__name__ == "Figure" for figure in figures)
    assert all(callable(figure._repr_png_) for figure in figures)
    png = figures[-1]._repr_png_()
    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    assert png.startswith(b"\x89PNG")
    assert (width, height) == (740, 780)  # 7.4 by 7.8 inches: it fits a page
    assert "matplotlib.pyplot" not in sys.modules


def history(n):
    return History({"epoch": i + 1, "loss": 100.0 / 3 + i, "seconds": 0.1} for i in range(n))


def test_a_history_is_short():
    assert repr(History()) == "History of 0 epochs"
    assert repr(history(1)) == "History of 1 epoch, the last: epoch 1, loss 33.3333, seconds 0.1"
    assert repr(history(300)).startswith("History of 300 epochs, the last: epoch 300, loss 332.333")
    assert len(repr(history(100_000))) < 100


@pytest.mark.parametrize("n", [0, 1, 2, 12, 13, 300])
def test_the_table_of_a_history_has_its_first_and_its_last_epoch(n):
    html = history(n)._repr_html_()
    assert html.count("<tr>") <= 13
    assert f"of {n} epoch" in html
    if n:
        assert "<tr><td>1</td><td>33.3333</td><td>0.1</td></tr>" in html
        assert f"<tr><td>{n}</td>" in html


def test_what_a_callback_put_into_a_record_is_shown_as_it_is():
    odd = History([{"epoch": 1, "<b>": "a & b"}, {"epoch": 2, "loss": np.float32(0.5)}])
    html = odd._repr_html_()
    assert "<th>&lt;b&gt;</th><th>loss</th>" in html
    assert "<td>a &amp; b</td><td></td>" in html
    assert "loss 0.5" in repr(odd)


def test_a_history_is_still_the_list_of_its_records():
    records = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "validation_loss": 3.0}]
    kept = History(records)
    assert kept == records
    assert list(kept) == records
    assert kept[1:] == records[1:]
    assert pickle.loads(pickle.dumps(kept)) == records


def test_pandas_makes_a_table_of_a_history():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(history(300))
    assert table.shape == (300, 3)
    assert list(table.columns) == ["epoch", "loss", "seconds"]
    assert table["loss"].iloc[-1] == 100.0 / 3 + 299
