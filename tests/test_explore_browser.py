"""The page of `numpyvae explore` in a real browser: its mathematics, its parts, its keys."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from bug_zoo import BUG, generic_point, gradient_at

import numpyvae.models.vae
from numpyvae import VAE, Adam, Bernoulli, Binomial, Gaussian
from numpyvae.explore import explore_page
from numpyvae.explore.page import described
from numpyvae.layers import ACTIVATIONS
from numpyvae.likelihoods import EXAMPLES, StructuredGaussian
from numpyvae.likelihoods.gaussian import LEARNED
from numpyvae.run_data import RunData, load_data

SOURCE = Path(numpyvae.models.vae.__file__).read_text().splitlines()
SCRIPTS = Path(numpyvae.explore.__file__).parent
MISTAKES = re.findall(r'\bid: "([^"]+)"', (SCRIPTS / "mistakes.js").read_text())


def frame(page):
    """Until what was asked to be drawn is drawn."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


class Opened:
    """A page in the browser; whatever it asks for or complains of is kept."""

    def __init__(self, browser, path, **how):
        self.page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **how})
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]")

    def show(self, part):
        self.page.click(f"#tab-{part}")
        frame(self.page)

    def close(self, path):
        self.page.close()
        assert self.complaints == []
        assert self.requests == [path.as_uri()]


@pytest.fixture(scope="module")
def open_page(browser, tmp_path_factory):
    """Opens the page of a model and its data; at the end, it must have asked for nothing."""
    opened = []

    def open_one(vae, data, **how):
        path = tmp_path_factory.mktemp("page") / "explore.html"
        path.write_text(explore_page(vae, data, "a run"), encoding="utf-8")
        opened.append((Opened(browser, path, **how), path))
        return opened[-1][0]

    yield open_one
    for page, path in opened:
        page.close(path)


@pytest.fixture(scope="module")
def digits():
    data = load_data("digits")
    vae = VAE(64, 2, (32,), likelihood=data.likelihood)
    vae.fit(data.x_train, epochs=2, optimizer=Adam(3e-3), verbose=False)
    few = data._replace(
        x_test=data.x_test[:80], labels=data.labels[:80], x_train=data.x_train[:300]
    )
    return vae, few


@pytest.fixture(scope="module")
def opened(open_page, digits):
    return open_page(*digits)


@pytest.fixture
def page(opened):
    """The page of the digits as it opens, whatever the test before has left."""
    opened.page.reload()
    opened.requests.pop()
    opened.page.wait_for_selector("body[data-ready]")
    return opened.page


# The mathematics.

SCALED = [
    (5.0, 3.0),
    (
        np.array([1.0, -2.0, 3e3, 0.0, 7.0, 1e-3, 2.0]),
        np.array([2.0, 1.0, 1e3, 1.0, 9.0, 1e-2, 0.5]),
    ),
]
POINTS = [
    *((p, "tanh", (6,), 0.7, 3) for p in EXAMPLES),
    *((Binomial(16), activation, (6, 5), 0.7, 3) for activation in ACTIVATIONS),
    *((Bernoulli(), "relu", depth, 0.7, 3) for depth in ((), (6,), (6, 5, 4))),
    *((Bernoulli(), "relu", (6,), beta, 3) for beta in (0.0, 1.0, 8.0, math.inf)),
    *((Gaussian(v, *units), "tanh", (6,), 1.0, 2) for v in (0.5, *LEARNED) for units in SCALED),
    (StructuredGaussian(1, 3, 5.0, 3.0), "softplus", (6,), 1.0, 2),
    (Binomial(255), "relu", (6,), 1.0, 1),
    (Binomial(70_000), "relu", (6,), 1.0, 1),
]


def carried(vae, *arrays):
    """A model as the page carries it, and arrays."""
    return [json.loads(json.dumps(described(vae))), *(a.ravel().tolist() for a in arrays)]


def point_of(likelihood, activation, hidden_dims, beta, L, seed=0):
    D, N = 7, 5
    vae = VAE(D, L, hidden_dims, activation, likelihood, beta, dtype=np.float64)
    rng = np.random.default_rng(seed)
    theta = 0.6 * rng.standard_normal(vae.layout.size)
    if isinstance(likelihood, Binomial):
        vae.layout.views(theta)["encoder.0.W"][...] /= likelihood.data_scale
    params = vae.layout.views(theta)
    output, _ = vae.decoder.forward(params, rng.standard_normal((N, L)))
    x = likelihood.sample(params, output, rng).astype(np.float64)
    return vae, theta, x, vae.draw_noise(rng, N)


def close(found, expected):
    """To 1e-9 of the largest entry."""
    found, expected = np.asarray(found, float).ravel(), np.asarray(expected, float).ravel()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max() + 1e-300)


COMPUTE = """([model, theta, x, noise]) => {
  const beta = model.beta === "inf" ? Infinity : Number(model.beta);
  const vae = new VAE({ ...model, beta });
  const [th, data, eps] = [theta, x, noise].map((a) => Float64Array.from(a));
  const found = vae.loss_and_grad(th, data, eps);
  const [mean] = vae.encode(th, data);
  return { loss: found.loss, grad: [...found.grad], log_px: [...found.log_px], kl: [...found.kl],
    mean: [...mean], decoded: [...vae.decode(th, mean)] };
}"""


@pytest.mark.slow(keep=8)
@pytest.mark.parametrize("case", POINTS, ids=lambda case: "-".join(map(str, case)))
def test_loss_and_gradient_are_numpys(opened, case):
    vae, theta, x, noise = point_of(*case)
    found = opened.page.evaluate(COMPUTE, carried(vae, theta, x, noise))
    loss, grad = vae.loss_and_grad(theta, x, noise)
    close(found["loss"], loss)
    close(found["grad"], grad)
    assert np.abs(grad).max() > 0
    log_px, kl = vae.elbo_terms(theta, x, noise)
    close(found["log_px"], log_px)
    close(found["kl"], kl)
    vae.theta = theta
    close(found["mean"], vae.encode(x)[0])
    close(found["decoded"], vae.reconstruct(x))


def test_a_hundred_steps_of_adam_are_numpys(opened):
    vae, theta, x, _ = point_of(Binomial(16), "tanh", (6,), 0.7, 3)
    noise = np.random.default_rng(1).standard_normal((100, len(x), 3))
    found = opened.page.evaluate(
        """([model, theta, x, noise]) => {
      const vae = new VAE({ ...model, beta: Number(model.beta) }), adam = new Adam(0.02);
      const th = Float64Array.from(theta), data = Float64Array.from(x);
      const losses = noise.map((eps) => {
        const { loss, grad } = vae.loss_and_grad(th, data, Float64Array.from(eps));
        adam.step(th, grad);
        return loss;
      });
      return { theta: [...th], losses };
    }""",
        [*carried(vae, theta, x), noise.reshape(100, -1).tolist()],
    )
    adam, losses = Adam(0.02), []
    for eps in noise:
        loss, grad = vae.loss_and_grad(theta, x, eps)
        losses.append(loss)
        adam.step(theta, grad)
    close(found["theta"], theta)
    close(found["losses"], losses)
    assert losses[-1] < 0.9 * losses[0]


HEADS = ("encoder.1.W", "encoder.1.b")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_the_zoos(opened, name):
    """The gradient of the heads with it is that of bug_zoo.py, and is not the right one."""
    point = generic_point()
    vae, theta, x, noise = point
    given = [*carried(vae, theta, x, noise), name]
    wrong, right = opened.page.evaluate(
        """([model, theta, x, noise, id]) => {
      const vae = new VAE({ ...model, beta: Number(model.beta) });
      const { pieces } = MISTAKES.find((mistake) => mistake.id === id);
      const given = [theta, x, noise].map((a) => Float64Array.from(a));
      return [{ ...PIECES, ...pieces }, PIECES].map((planted) =>
        [...vae.loss_and_grad(...given, { pieces: planted }).grad]);
    }""",
        given,
    )
    of = vae.layout.views
    zoos, wrong, right = of(gradient_at(BUG[name], point)), of(np.array(wrong)), of(np.array(right))
    heads = [np.concatenate([g[n].ravel() for n in HEADS]) for g in (zoos, wrong, right)]
    if name != "8":  # whose noise nobody knows
        close(heads[1], heads[0])
    assert np.abs(heads[1] - heads[2]).max() > 1e-3 * np.abs(heads[2]).max()


# The gradient path.

ARROWS = "(what) => app.path.arrows(what).map(([name, d]) => [name, [...d]])"


def arrows_of(page, what):
    return {name: np.array(d) for name, d in page.evaluate(ARROWS, what)}


def test_each_step_highlights_its_line_of_the_file(page):
    page.click("#tab-path")
    page.click("#path-first")
    calls = []
    for k in range(14):
        (line,) = page.locator("#path [aria-current=step]").all()
        number, text = int(line.get_attribute("data-number")), line.get_attribute("data-text")
        assert SOURCE[number - 1].strip() == text
        assert page.inner_text("#path-says").startswith(f"{k + 1} of 14")
        calls.append(re.search(r"= ?([\w.]+)\(|^([\w.]+)\(", text).group(0).strip("= ("))
        page.click("#path-step")
    assert calls == [
        "self.encoder.forward", "mean_and_log_var", "reparameterize", "self.decoder.forward",
        "self.likelihood.log_prob", "kl_to_standard_normal", "negative_elbo",
        "negative_elbo_backward", "kl_to_standard_normal_backward",
        "self.likelihood.log_prob_backward", "self.decoder.backward", "reparameterize_backward",
        "mean_and_log_var_backward", "self.encoder.backward_params",
    ]  # fmt: skip


@pytest.mark.slow
def test_arrows_appear_when_they_are_computed(page):
    page.click("#tab-path")
    names = "() => app.path.arrows('mean').map(([name]) => name)"
    assert page.evaluate(names) == ["through z", "KL", "sum"]
    page.click("#path-first")
    assert page.evaluate(names) == []
    seen = []
    for _ in range(13):
        page.click("#path-step")
        seen.append(page.evaluate(names))
    assert (
        seen.index(["KL"])
        < seen.index(["through z", "KL"])
        < seen.index(["through z", "KL", "sum"])
    )


def test_arrows_are_minus_numpys_gradient(page, digits):
    vae, data = digits
    page.click("#tab-path")
    page.evaluate("() => { app.beta = 3; app.emit('beta'); app.choose(4); }")
    noise = page.evaluate("() => [...app.path.noise]")
    theta, x = vae.theta.astype(np.float64), data.x_test[4:5].astype(np.float64)
    tall = VAE(64, 2, (32,), likelihood=data.likelihood, beta=3.0, dtype=np.float64)
    _, grad = tall.loss_and_grad(theta, x, np.array([noise]))
    dheads = tall.layout.views(grad)["encoder.1.b"]  # of one example
    for what, expected in (("mean", dheads[:2]), ("log_var", dheads[2:])):
        arrows = arrows_of(page, what)
        close(arrows["sum"], -expected)
        close(arrows["through z"] + arrows["KL"], -expected)
    mean = vae.encode(data.x_test[4:5])[0].astype(np.float64)
    np.testing.assert_allclose(arrows_of(page, "mean")["KL"], -3 * mean[0], rtol=1e-4)


PLANT_EACH = """(names) => names.map((name) => {
  const choose = (id, value) => {
    element(id).value = value;
    element(id).dispatchEvent(new Event("change"));
  };
  const arrows = () => ["mean", "log_var"].map((what) =>
    Object.fromEntries(app.path.arrows(what).map(([key, d]) => [key, [...d]])));
  choose("path-mistake", "");
  choose("path-batch", "1");
  const before = arrows();
  choose("path-mistake", name);
  return { name, before, after: arrows(), batch: element("path-batch").value,
    lines: document.querySelectorAll("#path li.planted").length,
    says: element("path-mistake-says").textContent };
})"""


def test_wrong_arrows_are_drawn_beside_the_right_ones(page):
    page.click("#tab-path")
    assert len(MISTAKES) == page.locator("#path-mistake option").count() - 1 == 30
    page.locator("#path-beta").fill("4")  # at beta = 1 one of them cannot be seen
    for found in page.evaluate(PLANT_EACH, MISTAKES):
        name, after = found["name"], found["after"]
        wrong, right = (np.array([arrows[k] for arrows in after]) for k in ("wrong sum", "sum"))
        assert np.abs(wrong - right).max() > 1e-6 * np.abs(right).max(), name
        assert "wrong by" in found["says"]
        assert found["lines"] == 1
        assert found["batch"] == ("4" if name in ("21", "26a", "26b") else "1")
        alone = np.array([arrows["sum"] for arrows in found["before"]])
        np.testing.assert_allclose(right, alone / int(found["batch"]), rtol=1e-12)


def test_a_mistake_that_shows_nothing_here_is_said_to(page):
    page.click("#tab-path")
    page.select_option("#path-mistake", "20a")
    assert "wrong sum" not in arrows_of(page, "mean")
    assert "move beta from 1" in page.inner_text("#path-mistake-says")


# Keys, pointers, names.


def focus_by_tab(page, id_):
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.id") == id_:
            return
    raise AssertionError(f"Tab never comes to {id_}")


def test_the_keyboard_moves_z_and_draws_a_line(page):
    focus_by_tab(page, "plane-canvas")
    z = page.evaluate("() => [...app.z]")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    moved = page.evaluate("() => [...app.z]")
    assert moved[0] > z[0]
    assert moved[1] - z[1] > 4 * (moved[0] - z[0])
    assert page.evaluate("() => [...app.plane.line]") == z
    page.keyboard.press("Escape")
    assert page.evaluate("() => app.plane.line") is None
    frame(page)
    assert "No line" in page.inner_text("#plane-strip-title")


def test_the_keyboard_walks_the_parts_and_moves_the_noise(page):
    focus_by_tab(page, "tab-plane")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#path")
    assert page.evaluate("() => document.activeElement.id") == "tab-path"
    focus_by_tab(page, "path-mean")
    before = page.evaluate("() => [...app.path.noise]")
    page.keyboard.press("ArrowLeft")
    after = page.evaluate("() => [...app.path.noise]")
    np.testing.assert_allclose(np.subtract(after, before), [-0.1, 0.0], atol=1e-12)


def pixels(page, id_):
    return page.evaluate(f"() => document.getElementById('{id_}').toDataURL()")


def test_dragging_z_decodes_it(page, digits):
    frame(page)
    before, box = pixels(page, "plane-decoded"), page.locator("#plane-canvas").bounding_box()
    page.evaluate("() => { element('show-points').click(); }")
    page.mouse.move(box["x"] + 120, box["y"] + 120)
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] + 150)
    page.mouse.move(box["x"] + 200, box["y"] + 300)
    page.mouse.up()
    frame(page)
    z = np.array([page.evaluate("() => [...app.z]")])
    at = page.evaluate("() => app.plane.board.to_world(200, 300)")
    np.testing.assert_allclose(z[0], at, atol=0.02)
    assert pixels(page, "plane-decoded") != before
    tall = VAE(64, 2, (32,), likelihood=digits[1].likelihood, dtype=np.float64)
    tall.theta = digits[0].theta.astype(np.float64)
    close(page.evaluate("() => [...app.decode_one(app.z)]"), tall.decode(z))


def test_hovering_shows_the_example_and_a_click_chooses_it(page):
    frame(page)
    at = page.evaluate("() => app.plane.board.to_pixels(...plane_point(app, 7))")
    nearest = page.evaluate("([x, y]) => app.plane.nearest(x, y, 9)", at)
    box = page.locator("#plane-canvas").bounding_box()
    page.mouse.move(box["x"] + at[0], box["y"] + at[1])
    assert page.inner_text("#plane-example-title").startswith(f"Example {nearest},")
    page.mouse.down()
    page.mouse.up()
    assert page.evaluate("() => app.example") == nearest
    mean = page.evaluate("(n) => [...app.mean.subarray(2 * n, 2 * n + 2)]", nearest)
    assert page.evaluate("() => [...app.z]") == mean


def test_what_is_shown_is_drawn(page):
    """Manifold, ellipses, examples, a class, the line: each changes the picture."""
    frame(page)
    seen = [pixels(page, "plane-canvas")]
    for one in ("#show-ellipses", "#plane-classes button", "#show-points", "#show-manifold"):
        page.locator(one).first.click()
        frame(page)
        seen.append(pixels(page, "plane-canvas"))
    strip = pixels(page, "plane-strip")
    page.focus("#plane-canvas")
    page.keyboard.press("Escape")
    frame(page)
    seen.append(pixels(page, "plane-canvas"))
    assert len(set(seen)) == len(seen)
    assert pixels(page, "plane-strip") != strip


def test_a_line_is_drawn_by_dragging(page):
    page.check("input[name=drag][value=line]")
    box = page.locator("#plane-canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 250)
    page.mouse.up()
    ends = page.evaluate("() => [[...app.plane.line], [...app.z]]")
    to_world = "(at) => app.plane.board.to_world(...at)"
    expected = [page.evaluate(to_world, at) for at in ([100, 200], [300, 250])]
    np.testing.assert_allclose(ends, expected, atol=0.02)


NAMELESS = """(part) => [...document.querySelectorAll(
    ["button", "input", "select", "canvas", "[tabindex]"].map((a) => `#${part} ${a}`).join())]
  .filter((e) => ![e.getAttribute("aria-label"), e.labels?.[0]?.textContent, e.textContent]
    .some((text) => text?.trim()))
  .map((e) => e.id || e.outerHTML)"""


def test_everything_has_a_name(page):
    for part in ("plane", "path", "train"):
        page.click(f"#tab-{part}")
        frame(page)
        nameless = page.evaluate(NAMELESS, part)
        assert nameless == []
    ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def test_labels_are_shown_by_name_too(page, digits):
    classes = sorted(set(map(str, digits[1].labels)))
    assert page.locator("#plane-classes button").all_inner_texts() == classes
    page.locator("#plane-classes button").first.click()
    assert page.locator("#plane-classes [aria-pressed=false]").count() == 1


# Training.


def test_forward_backward_and_update_are_one_step_of_adam(page, digits):
    vae, data = digits
    page.click("#tab-train")
    assert page.get_attribute("#train-backward", "aria-disabled") == "true"
    page.focus("#train-backward")
    page.keyboard.press("Enter")  # there is nothing yet to go back through
    assert page.evaluate("() => app.train.cotangents") is None
    page.select_option("#train-batch", "32")
    page.locator("#train-beta").fill("2")
    page.click("#train-forward")
    theta = np.array(page.evaluate("() => [...app.theta]"))
    np.testing.assert_array_equal(theta, vae.theta)
    x, noise = page.evaluate("() => [[...app.train.batch.x], [...app.train.batch.noise]]")
    loss = page.evaluate("() => app.train.values.loss")
    page.click("#train-backward")
    np.testing.assert_array_equal(page.evaluate("() => [...app.theta]"), theta)
    grad = page.evaluate("() => [...app.train.grad]")
    page.click("#train-update")
    tall = VAE(64, 2, (32,), likelihood=data.likelihood, beta=2.0, dtype=np.float64)
    x, noise = np.reshape(x, (32, 64)).astype(float), np.reshape(noise, (32, 2))
    assert {row.tobytes() for row in x} <= {row.tobytes() for row in data.x_train.astype(float)}
    expected, gradient = tall.loss_and_grad(theta, x, noise)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(grad, gradient, atol=1e-4 * np.abs(gradient).max())
    Adam(3e-3).step(theta, gradient)
    moved = np.array(page.evaluate("() => [...app.theta]"))
    moves = np.abs(gradient) > 1e-3 * np.abs(gradient).max()
    np.testing.assert_allclose(moved[moves], theta[moves], atol=1e-5)
    assert page.evaluate("() => app.train.steps") == 1


@pytest.mark.slow
def test_it_learns_from_other_weights_and_comes_back(page, digits):
    page.click("#tab-train")
    page.click("#train-restart")
    start = page.evaluate("() => app.train.test.elbo")
    page.evaluate(
        "() => { for (let i = 0; i < 60; i++) app.train.one_step(); app.train.measure(); }"
    )
    assert page.evaluate("() => app.train.test.elbo") > start + 20
    page.click("#tab-plane")  # where the means are now those of the trained weights
    assert "Shown: weights drawn from seed 1, then 60 steps here" in page.inner_text("#about")
    mean = page.evaluate("() => [...app.mean]")
    vae = VAE(64, 2, (32,), likelihood=digits[1].likelihood, dtype=np.float64)
    vae.theta = np.array(page.evaluate("() => [...app.theta]"))
    close(mean, vae.encode(digits[1].x_test.astype(np.float64))[0])
    page.click("#tab-train")
    page.click("#train-run")
    np.testing.assert_array_equal(page.evaluate("() => [...app.theta]"), digits[0].theta)
    assert page.inner_text("#about").endswith("Shown: the run's weights.")


@pytest.mark.slow
def test_play_runs_until_it_is_paused(page):
    page.click("#tab-train")
    page.click("#train-play")
    page.evaluate("""() => new Promise((done) => {
      const look = () => (app.train.steps > 3 ? done() : requestAnimationFrame(look));
      look();
    })""")
    page.click("#train-play")
    steps = page.evaluate("() => app.train.steps")
    frame(page)
    assert page.evaluate("() => app.train.steps") == steps
    assert f"{steps} steps" in page.inner_text("#train-numbers")


# Other data, other models, other windows.


def made(D, L, likelihood, n=60, labels=None, dtype=np.float32, **how):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, D)) * 3 + 50
    if isinstance(likelihood, Binomial):
        x = rng.integers(0, likelihood.total_count + 1, (n, D))
    elif likelihood.standardization is None and isinstance(likelihood, Gaussian):
        likelihood = likelihood.scaled_to(x)
    vae = VAE(D, L, **{"hidden_dims": (5,), "likelihood": likelihood, "dtype": dtype, **how})
    return vae, RunData(x.astype(dtype), x[:20].astype(dtype), labels, likelihood)


OTHERS = [
    made(64, 8, Binomial(16), labels=np.arange(20) % 3),
    made(64, 1, Binomial(16), labels=np.arange(20) % 3),
    made(64, 2, Binomial(16)),
    made(2, 2, Gaussian("shared"), dtype=np.float64),
    made(5, 3, Gaussian("per_dimension")),
    made(40, 2, StructuredGaussian(1)),
    made(1, 1, Bernoulli()),
    made(16, 2, Bernoulli(), beta=math.inf, hidden_dims=(6, 5, 4), activation="tanh"),
    made(16, 2, Bernoulli(), beta=0.0, hidden_dims=()),
]


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("vae_and_data", OTHERS, ids=lambda case: repr(case[0]))
def test_other_models_and_data_open_in_every_part(open_page, vae_and_data):
    opened = open_page(*vae_and_data, viewport={"width": 380, "height": 700})
    for part in ("plane", "path", "train"):
        opened.show(part)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 380
    opened.page.click("#train-step")
    opened.show("path")
    opened.page.select_option("#path-mistake", "10")
    (kl,) = opened.page.locator("#path-table-backward tr", has_text="dlog_var_kl").all()
    assert ("✗" in kl.inner_text()) == (vae_and_data[0].beta > 0)
    opened.show("plane")
    if vae_and_data[0].latent_dim > 2:
        slider = opened.page.locator("#dims input").first
        slider.fill("1.5")
        dim = int(slider.get_attribute("data-dim"))
        assert opened.page.evaluate(f"() => app.z[{dim}]") == 1.5
    assert opened.complaints == []


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("width", [380, 1600])
def test_it_fits_the_window_in_dark_and_light(open_page, digits, width):
    opened = open_page(*digits, viewport={"width": width, "height": 900}, color_scheme="dark")
    page, theme = opened.page, "() => document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.click("#theme")
    assert page.evaluate(theme) == "light"
    for part in ("plane", "path", "train"):
        opened.show(part)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        bodies = [
            box for box in (c.bounding_box() for c in page.locator(f"#{part} canvas").all()) if box
        ]
        assert all(box["width"] > 60 for box in bodies)
