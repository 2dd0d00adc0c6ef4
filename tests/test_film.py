"""The film of a training: which epochs, always the same axes and draws, a strip and a GIF."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from numpyvae import VAE, Film, Gaussian, KeepBest
from numpyvae.cli import main
from numpyvae.data import load_digits

X = load_digits()[0][:40] > 8


def a_film(epochs=5, data=X, labels=None, latent_dim=2, **how):
    vae = VAE(data.shape[1], latent_dim, (4,), **how)
    film = Film(data, labels, n_side=3, n_samples=4)
    vae.fit(data, epochs, callbacks=[film], verbose=False)
    return vae, film


@pytest.mark.parametrize(("epochs", "kept"), [(1, [1]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_frames_are_powers_of_two_and_the_last(epochs, kept):
    assert a_film(epochs)[1].epochs == kept


def test_a_frame_is_the_model_of_its_epoch_and_the_model_stays_as_it_is():
    vae, film = a_film(4)
    second, _ = a_film(2)
    theta = vae.theta.copy()
    frames = film._frames()
    np.testing.assert_array_equal(frames[1].codes, second.encode(X)[0])
    np.testing.assert_array_equal(frames[1].samples, second.sample(4, np.random.default_rng(0)))
    np.testing.assert_array_equal(vae.theta, theta)
    best = KeepBest("elbo")
    best(vae, {"epoch": 1, "elbo": 0.0})
    assert film.epochs == [1, 2, 4]


def test_axes_and_scales_are_the_same_in_every_frame():
    _, film = a_film(4, labels=np.arange(40) % 3)
    columns = np.array(film.strip().axes[:9]).reshape(3, 3)
    for row in columns:
        assert len({(ax.get_xlim(), ax.get_ylim()) for ax in row}) == 1
    for row in columns[1:]:
        assert len({ax.images[0].get_clim() for ax in row}) == 1
    reach = columns[0, 0].get_xlim()[1]
    codes = [frame.codes for frame in film._frames()]
    assert np.mean([np.abs(c).max(axis=1) < reach for c in codes]) > 0.98
    assert [ax.get_title(loc="left").split("\n")[0] for ax in columns[0]] == [
        "epoch 1",
        "epoch 2",
        "epoch 4",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("data_dim", "latent_dim"), [(2, 2), (5, 1), (2, 1), (16, 3)])
def test_data_of_every_kind_can_be_filmed(tmp_path, data_dim, latent_dim):
    x = np.random.default_rng(0).standard_normal((30, data_dim))
    _, film = a_film(2, x, None, latent_dim, likelihood=Gaussian("shared"))
    film.strip().savefig(tmp_path / "film.png", dpi=20)


@pytest.mark.slow
def test_the_gif_has_a_picture_for_each_frame(tmp_path, monkeypatch):
    _, film = a_film(4, labels=np.arange(40) % 3)
    drawn = []
    savefig = Figure.savefig

    def record(figure, *args, **how):
        drawn.append(figure.axes[0].get_title(loc="left").split(",")[0])
        savefig(figure, *args, **how)

    monkeypatch.setattr(Figure, "savefig", record)
    film.save(tmp_path / "film.gif")
    assert drawn == ["epoch 1", "epoch 2", *["epoch 4"] * 4]
    gif = (tmp_path / "film.gif").read_bytes()
    assert gif.startswith(b"GIF89a")
    assert b"NETSCAPE2.0" in gif  # it begins anew


def test_what_cannot_be_filmed_is_said():
    with pytest.raises(ValueError, match=r"the film is empty: .* callbacks=\[film\]"):
        Film(X).strip()
    with pytest.raises(ValueError, match=r"labels must have shape \(N,\) = \(40,\), got \(39,\)"):
        Film(X, np.zeros(39))


@pytest.mark.slow
def test_the_command_draws_the_film_of_what_it_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **how: file.write(b"a sketch"))
    epochs = []
    monkeypatch.setattr(
        Film, "save", lambda film, path: (epochs.append(film.epochs), path.write_bytes(b"GIF"))
    )
    assert main(["train", "--epochs", "3", "--out", "run", "--film"]) == 0
    assert "film.png, film.gif" in capsys.readouterr().out
    assert main(["train", "--resume", "run", "--epochs", "5"]) == 0
    assert not list(tmp_path.glob("run/film.*"))  # it showed an earlier model
    assert main(["train", "--resume", "run", "--epochs", "6", "--film"]) == 0
    assert epochs == [[1, 2, 3], [6]]


def test_one_frame_leaves_its_caption_whole():
    """As of a run that is resumed for one epoch: the caption breaks where the figure ends."""
    _, film = a_film(1, labels=np.arange(40) % 3)
    figure = film.strip()
    figure.canvas.draw()
    (caption,) = (text for text in figure.texts if "dashed: 1 and 2" in text.get_text())
    box, whole = caption.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1
    assert whole.y0 <= box.y0
    assert box.y1 < min(ax.get_tightbbox().y0 for ax in figure.axes)
