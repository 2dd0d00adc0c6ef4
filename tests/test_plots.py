"""The figures: each one is made for every kind of data and model, and shows what it says."""

import io
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest

from numpyvae import VAE, Adam, Bernoulli, Binomial, Gaussian, plots
from numpyvae.data import load_digits, spiral
from numpyvae.gaussian import kl_to_standard_normal
from numpyvae.posterior_drawing import CLASS_COLOURS
from numpyvae.training import History

DIGITS = load_digits()


def fitted(x, latent_dim, likelihood, hidden_dims=(16,)):
    vae = VAE(x.shape[1], latent_dim, hidden_dims, likelihood=likelihood)
    vae.fit(x, epochs=3, optimizer=Adam(1e-2), validation_data=x[:50], verbose=False)
    return vae, x


@pytest.fixture(scope="module")
def models():
    """Name -> (vae, x): images of three likelihoods, lines, points, one number; L = 1, 2, many."""
    digits, noise = DIGITS.x_train[:300], np.random.default_rng(0).standard_normal((200, 10))
    vectors = noise.cumsum(axis=1).astype("f4")
    points, shared = spiral(200, np.random.default_rng(0)).x.astype("f4"), Gaussian("shared")
    return {
        "digits": fitted(digits, 2, Binomial(16)),
        "digits, L = 1": fitted(digits, 1, Binomial(16)),
        "digits, L = 8": fitted(digits, 8, Binomial(16)),
        "binary digits": fitted((digits > 8).astype("f4"), 2, Bernoulli()),
        "real digits": fitted(digits / 16, 2, Gaussian("per_dimension")),
        "vectors": fitted(vectors, 2, shared),
        "vectors, L = 1": fitted(vectors, 1, shared),
        "vectors, L = 4": fitted(vectors, 4, shared),
        "points": fitted(points, 2, shared),
        "points, L = 1": fitted(points, 1, shared),
        "points, L = 3": fitted(points, 3, shared),
        "numbers": fitted(vectors[:, :1], 1, shared),
    }


NAMES = (
    "digits", "digits, L = 1", "digits, L = 8", "binary digits", "real digits", "vectors",
    "vectors, L = 1", "vectors, L = 4", "points", "points, L = 1", "points, L = 3", "numbers",
)  # fmt: skip


def saved(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return file.getvalue()


def texts(figure):
    """Everything that is written in a figure."""
    from matplotlib.text import Text

    return " | ".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def legend_of(ax):
    return [] if ax.get_legend() is None else [t.get_text() for t in ax.get_legend().get_texts()]


def limits(ax):
    return (*ax.get_xlim(), *ax.get_ylim())


def cells(ax):
    """The middles of the images in a picture of tiles, (rows, columns, h, w): enlarged, framed."""
    image = ax.images[0]
    _, columns, rows, _ = image.get_extent()
    picture = image.get_array()
    height, width = picture.shape[0] // int(rows), picture.shape[1] // int(columns)
    tiles = picture.reshape(int(rows), height, int(columns), width).swapaxes(1, 2)
    assert tiles.mask[:, :, [0, -1], :].all(), "every cell has a frame"
    assert tiles.mask[:, :, :, [0, -1]].all(), "every cell has a frame"
    return tiles[:, :, 1:-1, 1:-1]


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_every_model_can_be_saved_and_no_axes_are_empty(models, name):
    vae, x = models[name]
    labels = np.arange(len(x)) % 10
    figures = {
        "reconstructions": plots.reconstructions(vae, x, n=4),
        "samples": plots.samples(vae, n=10),
        "latent_space": plots.latent_space(vae, x[:100], labels[:100]),
        "manifold": plots.manifold(vae, n_side=5),
    }
    for what, figure in figures.items():
        is_first = name in ("digits", "vectors", "points", "numbers")
        if not is_first and (what != "manifold" or "real" in name or "binary" in name):
            figure.set_layout_engine("none")  # slow, and tried with a model of the kind
        assert saved(figure).startswith(b"\x89PNG"), what
        assert all(ax.has_data() for ax in figure.axes if ax.get_visible()), what
        assert any(ax.get_title(loc="left") for ax in figure.axes), what


def test_matplotlib_is_imported_when_a_figure_is_drawn_and_pyplot_never():
    program = """
import io, sys
import numpyvae.plots as plots
assert "matplotlib" not in sys.modules
from numpyvae import VAE
from numpyvae.training import History
import matplotlib, numpy as np
before = dict(matplotlib.rcParams)
vae, x = VAE(16, 2, (4,)), np.eye(16)
vae.fit(x, epochs=2, verbose=False)
drawn = [plots.learning_curves(vae.history), plots.reconstructions(vae, x), plots.samples(vae),
         plots.latent_space(vae, x, np.arange(16) % 3), plots.manifold(vae, 3)]
for figure in drawn:
    figure.set_layout_engine("none")  # slow
    figure.savefig(io.BytesIO(), format="png", dpi=40)
assert "matplotlib.pyplot" not in sys.modules
assert dict(matplotlib.rcParams) == before
"""
    subprocess.run([sys.executable, "-c", program], check=True)


class TestLearningCurves:
    def history(self, n_epochs, validation=True):
        """A steep first drop, then slow learning."""
        history = History()
        for epoch in range(1, n_epochs + 1):
            log_px, kl = -100 - 1000 * 0.2**epoch + 0.01 * epoch, 5 + 3 / epoch
            record = {"epoch": epoch, "loss": kl - log_px, "log_px": log_px, "kl": kl}
            record["elbo"] = log_px - kl
            if validation:
                record.update({f"validation_{name}": record[name] - 1 for name in ("elbo", "kl")})
                record["validation_log_px"] = log_px - 2
            history.append(record)
        return history

    @pytest.mark.slow(keep=1)
    @pytest.mark.parametrize("n_epochs", [1, 3, 20, 2000])
    def test_three_panels_in_nats_of_train_and_test(self, n_epochs):
        history = self.history(n_epochs)
        figure = plots.learning_curves(history)
        elbo, log_px, kl = figure.axes
        assert [ax.get_xlabel() for ax in figure.axes] == ["epoch"] * 3
        assert [ax.get_ylabel() for ax in figure.axes] == ["nats per example"] * 3
        assert elbo.get_title(loc="left").startswith("ELBO")
        assert "log" in log_px.get_title(loc="left")
        assert "KL" in kl.get_title(loc="left")
        last = history[-1]["elbo"]
        assert legend_of(elbo) == [
            f"train, \N{MINUS SIGN}{-last:.1f} at the end",
            f"test, \N{MINUS SIGN}{1 - last:.1f} at the end",
        ]
        assert elbo.get_xscale() == ("linear" if n_epochs < 20 else "log")
        if n_epochs != 20:
            figure.set_layout_engine("none")  # slow, and tried once
        assert saved(figure).startswith(b"\x89PNG")

    @pytest.mark.slow(keep=1)
    @pytest.mark.parametrize("n_epochs", [20, 300, 2000])
    def test_the_first_drop_does_not_squash_the_rest(self, n_epochs):
        elbo = plots.learning_curves(self.history(n_epochs)).axes[0]
        drawn = np.concatenate([line.get_xdata() for line in elbo.lines])
        first = np.ceil(n_epochs**0.25)
        assert drawn.min() == first
        assert f"from {first:.0f} on" in texts(elbo.figure)
        low, high = elbo.get_ylim()
        assert high - low < 0.2 * 1000 * 0.2 + 0.02 * n_epochs

    def test_every_epoch_is_drawn_and_the_thick_line_is_their_mean(self):
        history = self.history(300)
        elbo = plots.learning_curves(history).axes[0]
        thin, thick = elbo.lines[:2]
        np.testing.assert_array_equal(thin.get_xdata(), np.arange(5, 301))
        np.testing.assert_allclose(thin.get_ydata(), history.column("elbo")[4:])
        assert 50 < len(thick.get_xdata()) <= 80
        np.testing.assert_array_equal(thick.get_xdata()[:3], [5, 6, 7])
        means = [history.column("elbo")[int(x) - 1] for x in thick.get_xdata()]
        np.testing.assert_allclose(thick.get_ydata(), means, atol=0.02)

    def test_without_validation_data_there_is_one_curve(self):
        figure = plots.learning_curves(self.history(40, validation=False))
        assert all(len(legend_of(ax)) == 1 for ax in figure.axes)
        assert "train," in legend_of(figure.axes[0])[0]

    def test_a_model_with_no_bound_shows_its_loss(self):
        history = History({"epoch": i, "loss": 1 / i, "seconds": 0.1} for i in range(1, 30))
        (ax,) = plots.learning_curves(history).axes
        assert ax.get_title(loc="left").startswith("Loss")

    def test_an_empty_history_is_an_error(self):
        with pytest.raises(ValueError, match="history is empty"):
            plots.learning_curves(History())


class TestData:
    @pytest.mark.parametrize("name", ["digits", "binary digits", "real digits"])
    def test_images_stand_above_their_reconstructions(self, models, name):
        vae, x = models[name]
        figure = plots.reconstructions(vae, x, n=7)
        (ax,) = figure.axes
        originals, means = cells(ax)[:, :, 2::4, 2::4]  # the middle of each pixel, 4 x 4 large
        np.testing.assert_array_equal(originals, x[:7].reshape(7, 8, 8))
        np.testing.assert_allclose(means, vae.reconstruct(x[:7]).reshape(7, 8, 8), rtol=1e-5)
        assert [t.get_text() for t in ax.get_yticklabels()] == ["original", "reconstruction"]
        assert ax.images[0].get_clim() == (0, {"digits": 16}.get(name, 1))
        assert f"white: 0, black: {16 if name == 'digits' else 1}" in texts(figure)
        assert ("values beyond are cut" in texts(figure)) == (name == "real digits")

    def test_high_values_are_dark_like_ink(self, models):
        image = plots.samples(models["digits"][0]).axes[0].images[0]
        white, black = image.to_rgba([0.0, 16.0])
        np.testing.assert_array_equal([white, black], [[1, 1, 1, 1], [0, 0, 0, 1]])

    def test_lines_lie_over_their_reconstructions(self, models):
        vae, x = models["vectors"]
        figure = plots.reconstructions(vae, x, n=7)
        panels = [ax for ax in figure.axes if ax.get_visible()]
        assert len(panels) == 7
        for i, ax in enumerate(panels):
            np.testing.assert_array_equal(ax.lines[0].get_ydata(), x[i])
            np.testing.assert_allclose(ax.lines[1].get_ydata(), vae.reconstruct(x)[i], rtol=1e-4)
        (legend,) = figure.legends
        assert [t.get_text() for t in legend.get_texts()] == ["original", "reconstruction"]
        assert "data dimension" in texts(figure)

    def test_points_are_joined_to_their_reconstructions(self, models):
        vae, x = models["points"]
        (ax,) = plots.reconstructions(vae, x, n=3).axes
        joins, originals, means = ax.collections
        np.testing.assert_array_equal(originals.get_offsets(), x)
        np.testing.assert_allclose(means.get_offsets(), vae.reconstruct(x), rtol=1e-5)
        assert len(joins.get_segments()) == len(x)
        assert legend_of(ax) == ["original", "reconstruction"]
        assert ax.get_aspect() == 1

    def test_fewer_rows_than_asked_for(self, models):
        vae, x = models["digits"]
        assert cells(plots.reconstructions(vae, x[:3]).axes[0]).shape[:2] == (2, 3)

    def test_samples_are_the_models_own_with_the_callers_generator(self, models):
        vae, _ = models["digits"]
        drawn = cells(plots.samples(vae, 10, np.random.default_rng(5)).axes[0])
        assert drawn.shape[:2] == (3, 4)
        expected = vae.sample(10, np.random.default_rng(5)).reshape(10, 8, 8)
        pixels = drawn.reshape(12, 32, 32)[:, 2::4, 2::4]
        np.testing.assert_allclose(pixels[:10], expected, rtol=1e-6)
        assert pixels.mask[10:].all()

    def test_an_image_shape_is_taken_or_refused(self, models):
        vae, x = models["vectors"]
        figure = plots.reconstructions(vae, x, image_shape=(2, 5))
        low, high = figure.axes[0].images[0].get_clim()
        assert ((x[:10] < low).mean(), (x[:10] > high).mean()) == (0.01, 0.01)
        assert plots.samples(vae, image_shape=(5, 2)).axes[0].images
        assert plots.manifold(vae, 3, image_shape=(1, 10)).axes[0].images
        for draw in (plots.samples, plots.manifold):
            with pytest.raises(ValueError, match=r"image_shape must have 10 pixels, got \(3, 3\)"):
                draw(vae, image_shape=(3, 3))

    def test_bad_arguments_are_named(self, models):
        vae, x = models["digits"]
        with pytest.raises(ValueError, match="n must be at least 1"):
            plots.reconstructions(vae, x, n=0)
        with pytest.raises(ValueError, match="x must have shape"):
            plots.reconstructions(vae, x[:, :9])
        with pytest.raises(ValueError, match="n must be at least 1"):
            plots.samples(vae, 0)
        with pytest.raises(ValueError, match="n_side must be at least 1"):
            plots.manifold(vae, 0)


class TestLatentSpace:
    def test_an_ellipse_is_two_standard_deviations_wide_and_stands_at_the_mean(self, models):
        vae, x = models["digits"]
        x, labels = x[:60], DIGITS.y_train[:60]
        figure = plots.latent_space(vae, x, labels)
        figure.draw_without_rendering()
        (ax,) = figure.axes
        ellipses, dots = ax.collections[:2]
        mean, log_var = vae.encode(x)
        np.testing.assert_allclose(ellipses.get_offsets(), mean, rtol=1e-6)
        np.testing.assert_allclose(dots.get_offsets(), mean, rtol=1e-6)
        # matplotlib scales a circle of diameter one by (width, height), in units of the axes
        paths = ellipses.get_paths()[0].vertices
        scale = np.array([np.diag(m)[:2] for m in ellipses.get_transforms()]) * np.ptp(paths[:, 0])
        np.testing.assert_allclose(scale, 2 * np.exp(0.5 * log_var), rtol=1e-5)
        assert ax.get_aspect() == 1
        edges = np.concatenate([mean - np.exp(log_var / 2), mean + np.exp(log_var / 2)])
        left, right, low, high = limits(ax)
        assert (edges > [left, low]).all()
        assert (edges < [right, high]).all()

    def test_the_priors_circles_give_the_scale(self, models):
        vae, x = models["digits"]
        (ax,) = plots.latent_space(vae, x).axes
        radii = [np.hypot(*line.get_data()) for line in ax.lines]
        np.testing.assert_allclose([r.min() for r in radii], [1, 2])
        np.testing.assert_allclose([r.max() for r in radii], [1, 2])

    def test_classes_are_named_where_they_are_and_in_the_legend(self, models):
        vae, x = models["digits"]
        labels = DIGITS.y_train[: len(x)]
        (ax,) = plots.latent_space(vae, x, labels).axes
        assert legend_of(ax) == [str(i) for i in range(10)]
        for digit, text in enumerate(ax.texts):
            median = np.median(vae.encode(x)[0][labels == digit], axis=0)
            assert text.get_text() == str(digit)
            np.testing.assert_allclose(text.get_position(), median)
            assert text.get_path_effects(), "the halo"
        colours = ax.collections[1].get_facecolors()
        assert len({tuple(c) for c in colours}) == 10
        assert (colours[labels == 3] == colours[labels == 3][0]).all()

    def test_axes_say_how_many_nats_a_dimension_carries(self, models):
        vae, x = models["digits"]
        (ax,) = plots.latent_space(vae, x).axes
        told = [
            float(label.split("KL ")[1].split(" nats")[0])
            for label in (ax.get_xlabel(), ax.get_ylabel())
        ]
        kl, _ = kl_to_standard_normal(*vae.encode(x))
        assert sum(told) == pytest.approx(kl.mean(), abs=0.011)

    def test_of_many_dimensions_the_two_with_most_kl_are_shown_and_named(self, models):
        vae, x = models["digits, L = 8"]
        mean, log_var = vae.encode(x)
        kl = [kl_to_standard_normal(mean[:, [i]], log_var[:, [i]])[0].mean() for i in range(8)]
        best = tuple(np.argsort(kl)[::-1][:2])
        assert plots.informative_dims(vae, x) == best
        figure = plots.latent_space(vae, x)
        (ax,) = figure.axes
        assert ax.get_xlabel() == f"z[{best[0]}]   (mean KL {kl[best[0]]:.2f} nats)"
        assert ax.get_ylabel().startswith(f"z[{best[1]}] ")
        assert "two of 8 dimensions" in ax.get_title(loc="left")
        np.testing.assert_allclose(ax.collections[0].get_offsets(), mean[:, best], rtol=1e-6)

    @pytest.mark.parametrize("with_labels", [True, False])
    def test_one_dimension_is_shown_as_intervals(self, models, with_labels):
        vae, x = models["digits, L = 1"]
        labels = DIGITS.y_train[: len(x)] if with_labels else None
        (ax,) = plots.latent_space(vae, x, labels).axes
        bars = np.array(ax.collections[0].get_segments())  # (N, 2, 2)
        mean, log_var = vae.encode(x)
        np.testing.assert_allclose(bars[:, :, 0].mean(axis=1), mean[:, 0], atol=1e-5)
        width = np.ptp(bars[:, :, 0], axis=1)
        np.testing.assert_allclose(width, 2 * np.exp(0.5 * log_var[:, 0]), rtol=1e-4)
        height = bars[:, 0, 1]
        if with_labels:
            np.testing.assert_array_equal(np.round(height), labels)
            assert [t.get_text() for t in ax.get_yticklabels()] == [str(i) for i in range(10)]
        else:
            assert (np.diff(mean[np.argsort(height), 0]) >= 0).all()

    def test_without_labels_there_is_no_legend(self, models):
        vae, x = models["digits"]
        figure = plots.latent_space(vae, x)
        (ax,) = figure.axes
        assert ax.get_legend() is None
        assert not ax.texts
        assert saved(figure)

    def test_words_and_many_classes(self, models):
        vae, x = models["digits"]
        words = np.where(np.arange(len(x)) % 2, "odd", "even")
        assert legend_of(plots.latent_space(vae, x, words).axes[0]) == ["even", "odd"]
        (ax,) = plots.latent_space(vae, x, np.arange(len(x))).axes
        assert ax.get_legend() is None

    def test_a_posterior_far_wider_than_the_prior_does_not_set_the_scale(self, models):
        vae, x = models["digits"]
        wide = VAE(64, 2, (16,), likelihood=Binomial(16))
        wide.theta = vae.theta.copy()
        wide.layout.views(wide.theta)["encoder.1.b"][2:] = 20.0
        assert max(limits(plots.latent_space(wide, x).axes[0])) < 100

    def test_labels_of_another_length_are_refused(self, models):
        vae, x = models["digits"]
        with pytest.raises(ValueError, match=r"labels must have shape .*300.*, got \(10,\)"):
            plots.latent_space(vae, x, DIGITS.y_train[:10])


class TestManifold:
    def test_the_grid_is_the_unit_square_through_the_inverse_normal_cdf(self):
        z = plots.prior_grid(4, 2, (0, 1)).reshape(4, 4, 2)
        u = np.vectorize(NormalDist().cdf)(z)
        expected = [0.125, 0.375, 0.625, 0.875]
        for i in range(4):
            np.testing.assert_allclose(u[i, :, 0], expected)  # to the right
            np.testing.assert_allclose(u[:, i, 1], expected[::-1])  # upwards

    def test_other_dimensions_are_zero_and_the_order_is_the_callers(self):
        z = plots.prior_grid(3, 5, (4, 1)).reshape(3, 3, 5)
        assert (z[..., [0, 2, 3]] == 0).all()
        assert (np.diff(z[:, :, 4], axis=1) > 0).all()
        assert (np.diff(z[:, :, 1], axis=0) < 0).all()
        line = plots.prior_grid(3, 5, (2,))
        assert line.shape == (3, 5)
        np.testing.assert_allclose(line[:, 2], [-0.9674216, 0, 0.9674216], atol=1e-7)

    @pytest.mark.parametrize("dims", [(0, 0), (0, 2), (-1, 0), (), (0, 1, 2)])
    def test_dims_that_are_not_there_are_refused(self, dims):
        with pytest.raises(ValueError, match=r"dims must be one or two of 0, \.\.\., 1"):
            plots.prior_grid(3, 2, dims)

    def test_each_cell_shows_the_mean_at_its_z(self, models):
        vae, _ = models["digits"]
        (ax,) = plots.manifold(vae, n_side=5).axes
        shown = cells(ax)[:, :, 2::4, 2::4]
        expected = vae.decode(plots.prior_grid(5, 2, (0, 1))).reshape(5, 5, 8, 8)
        np.testing.assert_allclose(shown, expected, rtol=1e-6)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("z[0]", "z[1]")

    @pytest.mark.parametrize("name", ["digits", "vectors"])
    def test_ticks_stand_where_their_z_is(self, models, name):
        vae, _ = models[name]
        (ax,) = plots.manifold(vae, n_side=8).axes
        line = plots.prior_grid(8, 1, (0,))[:, 0]
        for axis, where in ((ax.xaxis, np.arange(8) + 0.5), (ax.yaxis, 7.5 - np.arange(8))):
            positions = axis.get_ticklocs()
            told = [
                float(t.get_text().replace("\N{MINUS SIGN}", "-")) for t in axis.get_ticklabels()
            ]
            assert len(told) >= 5
            order = np.argsort(where)
            between = np.interp(positions, where[order], line[order])
            inside = (positions > 0.5) & (positions < 7.5)
            np.testing.assert_allclose(between[inside], np.array(told)[inside], atol=0.06)

    def test_one_latent_dimension_is_a_strip(self, models):
        vae, _ = models["digits, L = 1"]
        (ax,) = plots.manifold(vae, n_side=6).axes
        assert cells(ax).shape[:2] == (1, 6)
        assert ax.get_xlabel() == "z[0]"
        assert len(ax.get_yticks()) == 0

    def test_of_many_dimensions_two_are_moved(self, models):
        vae, x = models["digits, L = 8"]
        dims = plots.informative_dims(vae, x)
        (ax,) = plots.manifold(vae, n_side=3, dims=dims).axes
        assert (ax.get_xlabel(), ax.get_ylabel()) == (f"z[{dims[0]}]", f"z[{dims[1]}]")
        assert "other dimensions" in ax.get_title(loc="left")

    def test_the_plane_shows_the_decoded_grid(self, models):
        vae, _ = models["points"]
        (ax,) = plots.manifold(vae, n_side=4).axes
        assert legend_of(ax) == ["z[0] constant", "z[1] constant"]
        across, along = (np.array(lines.get_segments()) for lines in ax.collections)
        x = vae.decode(plots.prior_grid(4, 2, (0, 1))).reshape(4, 4, 2)
        np.testing.assert_allclose(along, x, rtol=1e-6)
        np.testing.assert_allclose(across, x.swapaxes(0, 1), rtol=1e-6)

    @pytest.mark.parametrize("name", ["points, L = 1", "vectors, L = 1"])
    def test_a_line_of_decoded_data_is_coloured_by_z(self, models, name):
        vae, _ = models[name]
        ax, colour_bar = plots.manifold(vae, n_side=4).axes
        assert colour_bar.get_ylabel() == "z[0]"
        coloured = ax.collections[0]
        np.testing.assert_allclose(coloured.get_array(), plots.prior_grid(4, 1, (0,))[:, 0])


def test_the_class_colours_stay_apart_for_colour_blind_readers():
    """OKLab distances after the simulation of Machado et al. 2009, at full severity."""
    from matplotlib.colors import to_rgb

    sight = {
        "full": np.eye(3),
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                   [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
    }  # fmt: skip
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    for colours, least in ((CLASS_COLOURS, 0.05), ((plots.BLUE, plots.ORANGE), 0.15)):
        rgb = np.array([to_rgb(colour) for colour in colours])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        for name, matrix in sight.items():
            seen = np.clip(linear @ np.array(matrix).T, 0, 1)
            lab = np.cbrt(seen @ np.array(to_cones).T) @ np.array(to_lab).T
            distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
            assert distance[np.triu_indices(len(lab), 1)].min() > least, name
