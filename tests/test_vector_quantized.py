"""The vector-quantised VAE: what it equals, what its gradient is not, and planted mistakes."""

import itertools
import math

import numpy as np
import pytest

from numpyvae import Autoencoder, Bernoulli, Binomial, VectorQuantizedVAE, proofs
from numpyvae.gradient_check import central_difference, complex_step
from numpyvae.models import load, vector_quantized
from numpyvae.models.code_prior import CodePrior
from numpyvae.models.codebook import Codebook
from numpyvae.parameters import Gradients
from numpyvae.quantization import hold, nearest, quantize, quantize_backward

D, M, d, K, N = 5, 3, 2, 4, 6
NOISE = np.zeros((N, 0))


def generic(positions=M, n_codes=K, commitment=0.7, ema=None, **arguments):
    """A small model at a generic point."""
    model = VectorQuantizedVAE(
        D, positions, d, n_codes, (6,), "tanh", Binomial(4), commitment, ema, dtype=np.float64,
        **arguments,
    )  # fmt: skip
    model.theta[:] = 0.5 * np.random.default_rng(1).standard_normal(model.layout.size)
    return model


@pytest.fixture
def x(rng):
    return rng.integers(0, 5, (N, D)).astype(float)


def test_a_codebook_of_the_codes_themselves_makes_it_the_autoencoder(x):
    """Quantisation is then the identity, and straight through it the gradient is exact."""
    model = generic(1, N)
    autoencoder = Autoencoder(D, d, (6,), "tanh", Binomial(4), dtype=np.float64)
    for name, view in autoencoder.params.items():
        view[...] = model.params[name]
    model.params["codebook"][...] = autoencoder.encode(x)
    loss, grad = model.loss_and_grad(model.theta, x, NOISE)
    expected, other = autoencoder.loss_and_grad(autoencoder.theta, x, NOISE)
    log_code, _ = model.prior.log_prob(model.params, model.encode(x))
    assert sorted(model.encode(x).ravel()) == list(range(N))
    assert loss == pytest.approx(expected - log_code.mean(), rel=1e-14)
    grads = model.layout.views(grad)
    for name, view in autoencoder.layout.views(other).items():
        np.testing.assert_array_equal(grads[name], view)
    assert not grads["codebook"].any()


def test_one_code_costs_the_entropy_of_the_marginals(rng):
    x = rng.integers(0, 2, (N, D)).astype(float)
    x[0], x[1] = 0, 1  # no column is constant
    model = VectorQuantizedVAE(D, 1, d, 1, (), likelihood=Bernoulli(), dtype=np.float64)
    share = x.mean(axis=0)
    model.params["decoder.0.W"][...] = 0.0
    model.params["decoder.0.b"][...] = np.log(share / (1 - share))
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share)).sum()
    assert model.elbo(x).mean() == pytest.approx(-entropy, rel=1e-13)


def encoder_gradient_of_commitment(model, x):
    """d/d encoder of mean_n ||z_e - z_q||^2 with z_q constant, by complex step."""
    z_q = hold(model.vectors(model.params, x)[0], model.params["codebook"]).z_q
    where = model.layout.slices

    def f(theta):
        z_e, _ = model.vectors(model.layout.views(theta), x)
        return ((z_e - z_q) ** 2).sum() / len(x)

    names = [name for name in where if name.startswith("encoder")]
    index = np.concatenate([np.arange(where[n].start, where[n].stop) for n in names])
    return index, complex_step(f, model.theta)[index]


def test_the_gradient_is_not_the_derivative_of_the_loss(x):
    """The pair of numbers: at some weight of the encoder not even their signs agree.

    Within a cell of the codebook z_q stands still, so the derivative in the encoder has nothing of
    the reconstruction: it is (1 + commitment) times that of the distance alone. The gradient has
    the decoder's cotangent, copied over the step. With what is held constant it is a derivative.
    """
    model = generic()
    index, commitment = encoder_gradient_of_commitment(model, x)
    loss, grad = model.loss_and_grad(model.theta, x, NOISE)
    true = complex_step(lambda theta: model.loss(theta, x, NOISE), model.theta)
    np.testing.assert_allclose(true[index], 1.7 * commitment, rtol=1e-11, atol=1e-13)
    numeric = central_difference(lambda theta: model.loss(theta, x, NOISE), model.theta)
    np.testing.assert_allclose(numeric, true, atol=1e-6)
    i = index[np.argmin(grad[index] * true[index])]
    print(f"{model.layout.name_of(i)}: gradient {grad[i]:.2f}, derivative {true[i]:.2f}")
    assert grad[i] * true[i] < -0.01
    held = model.held(model.params, x, NOISE)
    assert model.loss(model.theta, x, NOISE, held) == pytest.approx(loss, rel=1e-14)
    surrogate = complex_step(lambda theta: model.loss(theta, x, NOISE, held), model.theta)
    np.testing.assert_allclose(grad, surrogate, rtol=1e-10, atol=1e-13)


def test_without_commitment_the_encoder_has_the_copied_gradient_alone(rng):
    z_e, codebook = rng.normal(size=(N, M, d)), rng.normal(size=(K, d))
    _, cache = quantize(z_e, codebook)
    dz, zero = rng.normal(size=z_e.shape), np.zeros(N)
    dz_e, dcodebook = quantize_backward((dz, zero, zero), cache)
    np.testing.assert_array_equal(dz_e, dz)
    assert not dcodebook.any()


def test_the_nearest_code_is_the_nearest(rng):
    z_e, codebook = rng.normal(size=(N, M, d)), rng.normal(size=(K, d))
    distance = ((z_e[:, :, None] - codebook) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(nearest(z_e, codebook), distance.argmin(axis=-1))
    (z_q, move, commit), _ = quantize(z_e, codebook)
    np.testing.assert_array_equal(z_q, codebook[distance.argmin(axis=-1)])
    np.testing.assert_allclose(move, distance.min(axis=-1).sum(axis=1))  # a sum over d, not a mean
    np.testing.assert_array_equal(move, commit)


def test_the_bound_pays_for_its_code(x):
    """log p(x|z_q) + log p(code) <= log p(x) = the sum over all K^M codes; p(code) sums to one."""
    model = generic()
    codes = np.array(list(itertools.product(range(K), repeat=M)))  # (64, M)
    log_code, _ = model.prior.log_prob(model.params, codes)
    assert np.exp(log_code).sum() == pytest.approx(1.0, rel=1e-13)
    z_q = model.params["codebook"][codes].reshape(len(codes), -1)
    output, _ = model.decoder.forward(model.params, z_q)
    joint = np.empty((N, len(codes)))
    for n in range(N):
        rows = np.repeat(x[n : n + 1], len(codes), axis=0)
        joint[n] = model.likelihood.log_prob(model.params, rows, output)[0] + log_code
    mine = (codes[None] == model.encode(x)[:, None]).all(axis=2)
    np.testing.assert_allclose(model.elbo(x), joint[mine], rtol=1e-13)
    assert (model.elbo(x) < np.log(np.exp(joint).sum(axis=1))).all()
    np.testing.assert_allclose(model.elbo(x) - model.log_px(x), log_code[mine.argmax(axis=1)])


def test_codes_are_drawn_as_often_as_the_table_says(rng):
    prior = CodePrior(3, 2)
    params = {name: rng.normal(size=shape) for name, shape in prior.shapes.items()}
    codes = prior.sample(params, rng, 40_000)
    every = np.array(list(itertools.product(range(2), repeat=3)))
    share = [(codes == code).all(axis=1).mean() for code in every]
    np.testing.assert_allclose(share, np.exp(prior.log_prob(params, every)[0]), atol=0.01)


# The codebook that follows without a gradient.


def test_no_past_makes_a_step_on_all_data_one_of_lloyds(rng):
    vectors, codes = rng.normal(size=(40, 1, d)), rng.normal(size=(K, d))
    codes[3] = 100.0  # nothing chooses it
    chosen = nearest(vectors, codes)[:, 0]
    expected = [vectors[chosen == k, 0].mean(axis=0) if k in chosen else codes[k] for k in range(K)]
    Codebook(K, d, 0.0).average(codes, vectors)
    np.testing.assert_allclose(codes, expected, rtol=1e-12)
    assert codes[3].tolist() == [100.0, 100.0], "0/0 would have blown it up"


def test_a_moving_average_forgets_at_its_rate(rng):
    """n <- g n + (1 - g) count, s <- g s + (1 - g) sum, code = s / n, written out."""
    g, codes = 0.9, rng.normal(size=(K, d))
    book, n, s = Codebook(K, d, g), np.ones(K), codes.copy()
    for _ in range(5):
        vectors = rng.normal(size=(20, 1, d))
        chosen = nearest(vectors, s / n[:, None])[:, 0]
        for k in range(K):
            n[k] = g * n[k] + (1 - g) * (chosen == k).sum()
            s[k] = g * s[k] + (1 - g) * vectors[chosen == k, 0].sum(axis=0)
        book.average(codes, vectors)
        np.testing.assert_allclose(codes, s / n[:, None], rtol=1e-11)
    np.testing.assert_allclose(book.counts, n)


def test_the_codebook_moves_after_the_step_and_the_loss_is_a_pure_function(x):
    model = generic(ema=0.5)
    before = model.theta.copy()
    loss, grad = model.loss_and_grad(model.theta, x, NOISE)
    assert model.loss(model.theta, x, NOISE) == loss
    np.testing.assert_array_equal(model.theta, before)
    assert not model.layout.views(grad)["codebook"].any(), "no gradient moves it"
    model.after_step(x, NOISE)
    first = model.vectors(model.params, x)[0].reshape(-1, d)[:K]
    np.testing.assert_array_equal(model.params["codebook"], first)  # it begins as data
    model.after_step(x, NOISE)
    assert (model.params["codebook"] != first).any()


def test_a_code_that_descends_a_gradient_begins_as_data_and_is_not_averaged(x):
    model = generic()
    model.after_step(x, NOISE)
    first = model.params["codebook"].copy()
    np.testing.assert_array_equal(first, model.vectors(model.params, x)[0].reshape(-1, d)[:K])
    model.after_step(x, NOISE)
    np.testing.assert_array_equal(model.params["codebook"], first)


# Mistakes of public code, planted.


def no_straight_through(dvalue, cache):
    return quantize_backward((np.zeros_like(dvalue[0]), *dvalue[1:]), cache)


def commitment_on_the_codebook(dvalue, cache):
    return quantize_backward((dvalue[0], dvalue[2], dvalue[1]), cache)


def decoder_moves_the_codes(dvalue, cache):
    dz_e, dcodebook = quantize_backward(dvalue, cache)
    np.add.at(dcodebook, cache[0], dvalue[0])
    return dz_e, dcodebook


@pytest.mark.parametrize(
    "mistake",
    [no_straight_through, commitment_on_the_codebook, decoder_moves_the_codes],
    ids=lambda f: f.__name__,
)
def test_a_wrong_path_is_not_proven(mistake, monkeypatch, rng):
    (pair,) = proofs.model_pairs(generic(), N, rng)
    expected = complex_step(pair.f, pair.theta)
    np.testing.assert_allclose(pair.grad(pair.theta), expected, atol=1e-12)
    monkeypatch.setattr(vector_quantized, "quantize_backward", mistake)
    assert np.abs(pair.grad(pair.theta) - expected).max() > 1e-2


def test_the_decoder_sees_the_code_and_nothing_else_when_it_is_asked(x):
    """Not z_e: two examples of one code are reconstructed alike."""
    model = generic(1, 2)
    codes = model.encode(x)[:, 0]
    reconstructed = model.reconstruct(x)
    np.testing.assert_array_equal(reconstructed, model.decode(model.encode(x)))
    for k in set(codes):
        same = reconstructed[codes == k]
        assert (same == same[0]).all()
    assert len(codes) > len(set(codes))


def test_the_prior_is_no_path_to_the_encoder(x):
    """log p(code) has a gradient by its tables alone: the codes are held."""
    model = generic()
    grads = Gradients(model.layout, np.zeros(model.layout.size))
    _, cache = model.prior.log_prob(model.params, model.encode(x))
    model.prior.log_prob_backward(grads, np.ones(N), cache)
    assert grads["prior.first"].any()
    grads.zero_untouched()
    assert not any(grads[n].any() for n in model.layout.shapes if not n.startswith("prior"))


# The interface.


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_saved_model_comes_back_and_trains_on_to_the_same_bits(tmp_path, x, ema):
    whole, part = (
        VectorQuantizedVAE(D, M, d, K, (6,), likelihood=Binomial(4), ema=ema) for _ in range(2)
    )
    whole.fit(x, epochs=4, batch_size=4, verbose=False)
    part.fit(x, epochs=2, batch_size=4, verbose=False)
    part.save(tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert again.config() == part.config()
    np.testing.assert_array_equal(again.codebook.counts, part.codebook.counts)
    again.fit(x, epochs=2, batch_size=4, verbose=False)
    np.testing.assert_array_equal(again.theta, whole.theta)
    if ema:
        assert (again.codebook.counts != 1.0).any()


def test_a_description_of_any_size_costs_nothing():
    """A file names its sizes before anything of them is read or built."""
    model = VectorQuantizedVAE(D, M, d, 10**12)
    assert model.layout.size > 10**24
    assert "counts" not in vars(model.codebook)


def test_shapes_names_and_values(x, capsys):
    model = VectorQuantizedVAE(D, M, d, K, (6,), likelihood=Binomial(4))
    assert model.layout.shapes["codebook"] == (K, d)
    assert model.layout.shapes["encoder.1.W"] == (6, M * d)
    assert model.layout.shapes["prior.next"] == (M - 1, K, K)
    model.fit(x, epochs=2, validation_data=x)
    assert "validation_elbo" in model.history[-1]
    assert "ELBO" in capsys.readouterr().out
    codes = model.encode(x)
    assert codes.shape == (N, M)
    assert codes.dtype.kind == "i"
    assert model.decode(codes).shape == model.reconstruct(x).shape == x.shape
    assert model.elbo(x).shape == (N,)
    share = np.bincount(codes.ravel(), minlength=K) / codes.size
    entropy = -sum(p * math.log(p) for p in share if p)
    assert model.perplexity(x) == pytest.approx(math.exp(entropy))
    draws = model.sample(4, mean=False)
    assert draws.shape == (4, D)
    model.check_data(draws)
    np.testing.assert_array_equal(model.sample(4), model.sample(4))  # from the seed


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m: m.decode(np.zeros((2, M + 1), int)),
            r"\(N, M\), N at least 1, M = 3, got \(2, 4\)",
        ),
        (lambda m: m.decode(np.full((2, M), K)), r"= 4 is no label: expected 0, ..., 3"),
        (lambda m: m.decode(np.full((2, M), 0.5)), "is no label"),
        (lambda m: VectorQuantizedVAE(D, M, d, 0), "n_codes must be at least 1"),
        (lambda m: VectorQuantizedVAE(D, M, d, K, ema=1.0), r"ema must lie in \[0, 1\)"),
        (lambda m: VectorQuantizedVAE(D, M, d, K, commitment=-1.0), "commitment must be a finite"),
    ],
)
def test_what_is_said_to_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call(generic())


def test_the_name_has_as_many_codes_as_there_are():
    """Two codes, each from a codebook of one entry: not two of one."""
    assert "2 x 1 codes" in repr(VectorQuantizedVAE(7, 2, 3, 1, (6,), "tanh"))
