"""The numbers of the figures, computed again: where things stand, how large, how many, how dense.

`tests/test_plots.py` asks whether each figure shows what it says; here its arithmetic is held
against formulas, on small models that nobody has trained.
"""

import itertools
import math

import numpy as np
import pytest

from numpyvae import VAE, Bernoulli, Binomial, Gaussian, plots
from numpyvae.drawing import (
    line_tiles,
    new_figure,
    number_text,
    point_pairs,
    tile_shape,
    value_range,
)
from numpyvae.training import History


def model(data_dim, latent_dim=2, likelihood=None, seed=0):
    vae = VAE(data_dim, latent_dim, (3,), "tanh", likelihood or Gaussian(), dtype=np.float64)
    vae.theta[:] = np.random.default_rng(seed).standard_normal(len(vae.theta))
    return vae


def data(n, data_dim):
    return np.random.default_rng(1).standard_normal((n, data_dim))


@pytest.mark.parametrize(("data_dim", "shape"), [
    (1, (1, 1)), (2, None), (3, None), (4, None), (8, None), (9, None), (10, None), (15, None),
    (16, (4, 4)), (17, None), (25, (5, 5)), (784, (28, 28)),
])  # fmt: skip
def test_which_data_are_images(data_dim, shape):
    assert tile_shape(data_dim, None) == shape
    assert tile_shape(data_dim, (1, data_dim)) == (1, data_dim)
    for bad in ((1, data_dim + 1), (data_dim,), (1, 1, data_dim)):
        with pytest.raises(ValueError, match=f"image_shape must have {data_dim} pixels"):
            tile_shape(data_dim, bad)


def test_white_and_black_are_the_bounds_of_the_data_or_of_most_of_them():
    x = np.arange(1001.0).reshape(-1, 1)
    assert value_range(model(1, likelihood=Bernoulli()), x) == (0.0, 1.0)
    assert value_range(model(1, likelihood=Binomial(16)), x) == (0.0, 16.0)
    assert value_range(model(1), x) == pytest.approx((10, 990))


def test_numbers_are_written_with_a_true_minus_sign():
    assert [number_text(v) for v in (-0.5, 1234.0, 0.012345)] == ["\u22120.5", "1.23e+03", "0.0123"]
    assert number_text(-1.26, ".1f") == "\u22121.3"


def size(figure):
    return pytest.approx(figure.get_size_inches().tolist())


def test_figures_are_as_large_as_what_they_show():
    """In inches: images keep their shape, a strip is flat, a row of panels is wide."""
    images, lines, points = model(16), model(10), model(2)
    history = History({"loss": 1.0, "log_px": -1.0, "kl": 0.5, "elbo": -1.5} for _ in range(3))
    loss_alone = History({"loss": 1.0} for _ in range(3))
    assert size(plots.learning_curves(history)) == [13.5, 4.5]
    assert size(plots.learning_curves(loss_alone)) == [9.0, 4.5]
    assert size(plots.reconstructions(images, data(20, 16))) == [11.4, 2.7]
    assert size(plots.reconstructions(images, data(3, 16))) == [6.4, 10 / 3 + 0.7]
    assert size(plots.reconstructions(images, data(20, 16), 16)) == [13.4, 1.5 + 0.7]
    assert size(plots.reconstructions(images, data(4, 16), 4, (2, 8))) == [6.4, 2.5 / 4 + 0.7]
    assert size(plots.reconstructions(lines, data(2, 10))) == [6.0, 3.2]
    assert size(plots.reconstructions(points, data(20, 2))) == [8.0, 7.0]
    assert size(plots.samples(images, 64)) == [7.0, 7.6]
    assert size(plots.samples(images, 10)) == [7.0, 7 * 3 / 4 + 0.6]
    assert size(plots.samples(images, 4, image_shape=(2, 8))) == [7.0, 7 / 4 + 0.6]
    assert size(plots.samples(lines, 10)) == [9.0, 5.0]
    assert size(plots.samples(points, 10)) == [7.0, 7.0]
    assert size(plots.latent_space(lines, data(20, 10))) == [8.8, 7.8]
    assert size(plots.latent_space(model(10, 1), data(20, 10))) == [8.8, 6.0]
    for vae in (images, lines, points):
        assert size(plots.manifold(vae, 4)) == [7.4, 7.8]
    assert size(plots.manifold(model(16, 1), 4)) == [12.0, 4.5]
    assert size(plots.manifold(model(10, 1), 4)) == [9.0, 5.0]
    assert size(plots.manifold(model(2, 1), 4)) == [9.0, 7.0]


def test_the_layout_of_a_figure():
    figure, axes = new_figure(4.0, 3.0, 2, 3)
    assert figure.get_dpi() == 150
    assert axes.shape == (2, 3)
    assert new_figure(1.0, 1.0)[1].shape == (1, 1)
    pads = figure.get_layout_engine().get()
    assert (pads["w_pad"], pads["h_pad"]) == (0.1, 0.08)
    assert not axes[0, 0].spines["top"].get_visible()
    assert axes[0, 0].spines["left"].get_visible()
    assert not axes[0, 0].get_shared_x_axes().joined(axes[0, 0], axes[0, 1])
    shared = new_figure(4.0, 3.0, 1, 2, share=True)[1]
    assert shared[0, 0].get_shared_x_axes().joined(shared[0, 0], shared[0, 1])


def test_as_many_points_as_a_reader_can_take_in():
    points, lines = model(2), model(10)
    (ax,) = plots.reconstructions(points, data(2100, 2)).axes
    assert len(ax.collections[1].get_offsets()) == 2000
    figure = plots.reconstructions(lines, data(20, 10), 7)
    assert sum(ax.get_visible() for ax in figure.axes) == 7
    assert size(figure) == [12.0, 5.2]
    for vae, marker in ((model(30), "o"), (model(31), "")):
        line = plots.reconstructions(vae, data(2, vae.data_dim)).axes[0].lines[0]
        assert line.get_marker() == (marker or "")


def test_originals_are_named_in_the_middle_of_their_row():
    (ax,) = plots.reconstructions(model(16), data(5, 16)).axes
    ticks = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    expected = [(0.5, "original"), (1.5, "reconstruction")]
    assert [(y, label.get_text()) for y, label in ticks] == expected
    assert (*ax.get_xlim(), *ax.get_ylim()) == (0, 5, 2, 0)


@pytest.mark.parametrize(("n", "opacity"), [(10, 0.9), (100, 0.2), (400, 0.05)])
def test_many_lines_are_fainter(n, opacity):
    (ax,) = plots.samples(model(10), n).axes
    assert len(ax.lines) == n
    assert ax.lines[0].get_alpha() == pytest.approx(opacity)


def test_samples_of_the_plane_are_points_and_others_are_lines():
    points, lines = model(2), model(10)
    (ax,) = plots.samples(points, 12).axes
    np.testing.assert_allclose(ax.collections[0].get_offsets(), points.sample(12))
    assert ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel(), len(ax.lines)) == ("x[0]", "x[1]", 0)
    (ax,) = plots.samples(lines, 12).axes
    np.testing.assert_allclose([line.get_ydata() for line in ax.lines], lines.sample(12))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("data dimension", "value")


def encoder_gives(latent_dim, mean, log_var):
    """A model whose encoder gives these numbers: `mean` (N, L) from one-hot data."""
    vae = VAE(len(mean), latent_dim, (), likelihood=Gaussian(), dtype=np.float64)
    views = vae.layout.views(vae.theta)
    views["encoder.0.W"][...] = np.concatenate([mean, log_var], axis=1)
    return vae, np.eye(len(mean))


def test_the_informative_dimensions_have_the_largest_mean_kl():
    mean = np.array([[0.0, 2.0, 1.0, 0.0], [0.0, -2.0, 1.0, 0.0]])
    log_var = np.array([[0.0, 0.0, -3.0, 1.0], [0.0, 0.0, -3.0, 1.0]])
    vae, x = encoder_gives(4, mean, log_var)
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).mean(axis=0)
    assert plots.informative_dims(vae, x) == (1, 2) == tuple(np.argsort(-kl)[:2])
    (ax,) = plots.latent_space(vae, x).axes
    assert ax.get_xlabel() == f"z[1]   (mean KL {kl[1]:.2f} nats)"
    assert ax.get_ylabel() == f"z[2]   (mean KL {kl[2]:.2f} nats)"
    even, x = encoder_gives(3, np.ones((2, 3)), np.zeros((2, 3)))
    assert plots.informative_dims(even, x) == (0, 1), "of equal ones the first"
    one, x = encoder_gives(1, np.ones((2, 1)), np.zeros((2, 1)))
    assert plots.informative_dims(one, x) == (0,)


@pytest.mark.parametrize("crowd", [1, 300])
def test_ellipses_are_fainter_where_they_crowd_and_all_fit_in(crowd):
    mean = np.tile([[3.0, 0.5], [-1.0, 4.0], [0.0, -1.0]], (crowd, 1))
    log_var = np.tile([[-1.0, -2.0], [0.5, 9.0], [-3.0, 1.0]], (crowd, 1))
    vae, x = encoder_gives(2, mean, log_var)
    (ax,) = plots.latent_space(vae, x).axes
    sd = np.minimum(np.exp(log_var / 2), math.exp(3.0))
    reach = np.minimum(sd, 1.0)
    low = np.minimum((mean - reach).min(axis=0), -2.1)
    high = np.maximum((mean + reach).max(axis=0), 2.1)
    half = 0.52 * (high - low).max()
    middle = (low + high) / 2
    expected = [*(middle[0] + [-half, half]), *(middle[1] + [-half, half])]
    assert [*ax.get_xlim(), *ax.get_ylim()] == pytest.approx(expected)
    share = (math.pi * reach[:, 0] * reach[:, 1]).sum() / (2 * half) ** 2
    opacity = 0.3 if crowd == 1 else 0.3 / share
    assert (share < 1) == (crowd == 1)
    assert ax.collections[0].get_facecolors()[0, 3] == pytest.approx(opacity)
    assert ax.collections[0].get_edgecolors()[0, 3] == pytest.approx(2.5 * opacity)
    widths = ax.collections[0].get_widths()
    np.testing.assert_allclose(widths, 2 * sd[:, 0])
    np.testing.assert_allclose(ax.collections[0].get_heights(), 2 * sd[:, 1])


def test_intervals_stand_in_bands_ordered_by_their_mean():
    mean = np.array([[0.3], [-0.5], [2.0], [1.0], [0.0]])
    log_var = np.array([[0.0], [1.0], [-1.0], [10.0], [0.5]])
    vae, x = encoder_gives(1, mean, log_var)
    (ax,) = plots.latent_space(vae, x, np.array(["b", "a", "b", "a", "b"])).axes
    bars, dots = ax.collections[:2]
    sd = np.minimum(np.exp(log_var / 2), math.exp(3.0))
    height = [1.0, -0.4, 1.4, 0.4, 0.6]  # class b about 1: z = 0, 0.3, 2; class a about 0
    np.testing.assert_allclose(dots.get_offsets(), np.column_stack([mean, height]))
    expected = [[[m - s, h], [m + s, h]] for (m,), (s,), h in zip(mean, sd, height, strict=True)]
    np.testing.assert_allclose(bars.get_segments(), expected)
    assert [line.get_xdata()[0] for line in ax.lines] == [-2, -1, 1, 2]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_thirty_classes_have_names_and_more_have_none():
    for n, named in ((30, True), (31, False)):
        vae, x = encoder_gives(2, np.zeros((n, 2)), np.zeros((n, 2)))
        (ax,) = plots.latent_space(vae, x, np.arange(n)).axes
        assert (ax.get_legend() is not None) == named


def test_small_curves_fill_their_cells():
    """From 0.1 to 0.9 across, and from 0.95 (lowest value) to 0.05 (highest) down."""
    figure, axes = new_figure(3.0, 3.0)
    x = np.array([[0.0, 1.0, 2.0], [4.0, 4.0, 0.0], [2.0, 2.0, 2.0], [1.0, 3.0, 4.0]])
    line_tiles(figure, axes[0, 0], x, 2)
    curves = axes[0, 0].collections[0].get_segments()
    for i, curve in enumerate(curves):
        row, column = divmod(i, 2)
        np.testing.assert_allclose(curve[:, 0], column + np.array([0.1, 0.5, 0.9]))
        np.testing.assert_allclose(curve[:, 1], row + 0.95 - 0.9 * x[i] / 4)
    assert (*axes[0, 0].get_xlim(), *axes[0, 0].get_ylim()) == (0, 2, 2, 0)
    assert "values from 0 to 4 over the 3 data" in figure.get_supxlabel()
    flat, axes = new_figure(3.0, 3.0)
    line_tiles(flat, axes[0, 0], np.full((1, 2), 5.0), 1)  # one value: no division by zero
    np.testing.assert_allclose(axes[0, 0].collections[0].get_segments()[0][:, 1], 0.95)


@pytest.mark.parametrize("n_epochs", [19, 20, 81, 300])
def test_thick_lines_are_means_over_equal_parts_of_the_axis(n_epochs):
    """80 windows between the first epoch shown, E^(1/4) rounded up, and the last; none is empty."""
    values = np.random.default_rng(0).standard_normal(n_epochs)
    (ax,) = plots.learning_curves(History({"loss": v} for v in values)).axes
    first = math.ceil(n_epochs**0.25) if n_epochs >= 20 else 1
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), values[first - 1 :])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(first, n_epochs + 1))
    assert ax.get_xscale() == ("log" if n_epochs >= 20 else "linear")
    if n_epochs < 20:
        assert len(ax.lines) == 1
        return
    edges = np.geomspace(first, n_epochs + 1, 81).astype(int)
    edges[-1] = n_epochs + 1
    windows = [np.arange(a, b) for a, b in itertools.pairwise(edges) if a < b]
    np.testing.assert_allclose(ax.lines[1].get_xdata(), [w.mean() for w in windows])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [values[w - 1].mean() for w in windows])


def test_the_legend_tells_the_last_value_that_there_is():
    history = History({"loss": 1.0, "validation_loss": 2.0} for _ in range(3))
    del history[2]["validation_loss"]
    history[1]["validation_loss"] = -3.26
    (ax,) = plots.learning_curves(history).axes
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "train, 1.0 at the end",
        "test, \u22123.3 at the end",
    ]


def test_columns_of_different_units_do_not_share_a_scale(rng):
    x = rng.standard_normal((30, 2))
    for scale, aspect in ((1.0, 1.0), (1e3, "auto")):
        pairs = point_pairs(x * [1.0, scale], x * [1.0, scale], "")
        assert pairs.axes[0].get_aspect() == aspect


def test_each_class_begins_a_row_of_samples():
    """7 draws of three classes, 3, 2 and 2: rows of three, the cells that are left empty."""
    names = ["a", "a", "a", "b", "b", "c", "c"]
    figure = plots.samples(model(16), 7, classes=names)
    (ax,) = figure.axes
    ticks = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    assert [(y, label.get_text()) for y, label in ticks] == [(0.5, "a"), (1.5, "b"), (2.5, "c")]
    picture = np.asarray(ax.images[0].get_array().filled(np.nan))
    cells = picture.reshape(3, len(picture) // 3, 3, -1).swapaxes(1, 2)
    empty = np.isnan(cells).all(axis=(2, 3))
    np.testing.assert_array_equal(empty, [[0, 0, 0], [0, 0, 1], [0, 0, 1]])
    (ax,) = plots.samples(model(16), 20, classes=["a"] * 10 + ["b"] * 10).axes
    assert ax.get_yticks().tolist() == [0.5, 2.5], "ten of a class are two rows of five"
    (ax,) = plots.samples(model(16), 4, classes=["a"] * 4).axes
    assert len(ax.get_yticks()) == 0
    assert ax.get_title(loc="left").endswith("$y$ = a")


@pytest.mark.parametrize("data_dim", [2, 10])
def test_samples_that_are_no_images_have_the_colours_of_their_classes(data_dim):
    (ax,) = plots.samples(model(data_dim), 4, classes=["low", "low", "top", "top"]).axes
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["low", "top"]
    many = [str(k) for k in range(11)]
    assert plots.samples(model(data_dim), 11, classes=many).axes[0].get_legend() is None
