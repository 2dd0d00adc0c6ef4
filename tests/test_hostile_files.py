"""Files that lie: what they cost is bounded by their size, and what they are told is one line."""

import io
import json
import random
import re
import tracemalloc
import zipfile

import numpy as np
import pytest
from saved_files import read_all

from numpyvae import (
    VAE,
    Autoencoder,
    Bernoulli,
    Binomial,
    DenoisingAutoencoder,
    FullCovarianceVAE,
    ImportanceWeightedVAE,
    LearnedPriorVAE,
    LinearAutoencoder,
    NoisyAutoencoder,
)
from numpyvae.corruptions import Masking, SaltAndPepper
from numpyvae.data import read_array
from numpyvae.layers import Dense
from numpyvae.models import Model
from numpyvae.priors import VampPrior
from numpyvae.run_files import open_run
from numpyvae.storage import open_npz, write_npz
from numpyvae.user_functions import InputError, load_point
from numpyvae.validation import from_config

MOST_BYTES = 8e6
MOST_LAYERS = 2100
P = VAE(5, 2, (4,)).layout.size
ARGUMENTS = VAE(5, 2, (4,)).config()
DESCRIPTION = {"model": "VAE", "arguments": ARGUMENTS, "epochs_trained": 3}
ZEROS = np.zeros(P, np.float32)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape, descr="'<f4'", version=1):
    """The beginning of a .npy file that promises this, whatever follows."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 * version, "little") + text


def write(path, *members, compression=zipfile.ZIP_DEFLATED):
    """An archive of (name, content), in that order, also if a name is there twice."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = compression
            archive.writestr(info, content)
    return path


def model_file(path, description=DESCRIPTION, theta=ZEROS, **how):
    """A model file of this description (an object, or a text that may be no JSON) and theta."""
    text = description if isinstance(description, str) else json.dumps(description)
    content = theta if isinstance(theta, bytes) else npy(theta)
    return write(path, ("description", npy(np.array(text))), ("theta", content), **how)


@pytest.fixture
def cheap(monkeypatch):
    """`call` raises nothing but `error`, in one line that names the file, and costs little."""
    monkeypatch.setattr(Model, "initial_theta", lambda self: pytest.fail("it was drawn"))
    layers = []
    build = Dense.__init__
    monkeypatch.setattr(
        Dense, "__init__", lambda self, *args: (layers.append(self), build(self, *args))[1]
    )

    def run(call, path, error=ValueError):
        layers.clear()
        tracemalloc.start()
        try:
            call(path)
        except error as caught:
            said = str(caught)
            assert "\n" not in said
            assert len(said) < 500
            assert str(path) in said
            return said
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MOST_BYTES, f"{peak:,} bytes"
            assert len(layers) < MOST_LAYERS
        return ""

    return run


def test_what_is_right_loads(tmp_path, cheap):
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = model_file(tmp_path / "model.npz", compression=compression)
        assert cheap(VAE.load, path) == ""
        assert VAE.load(path).epochs_trained == 3
    theta = np.arange(P, dtype=">f4")
    loaded = VAE.load(model_file(tmp_path / "model.npz", theta=theta))
    np.testing.assert_array_equal(loaded.theta, theta)
    assert loaded.theta.dtype.isnative


def changed(**arguments):
    return {**DESCRIPTION, "arguments": {**ARGUMENTS, **arguments}}


BIG = "1" + 400 * "0"
WRONG = {
    "wide": (changed(hidden_dims=[10000, 10000]), r"expected theta \(200200009,\) float32, got \("),
    "deep": (changed(hidden_dims=[1] * 50_000), "at most 1000 hidden_dims, got 50000"),
    "vast": (changed(data_dim=10**90), "expected theta"),
    "longer": (json.dumps(changed(data_dim=0)).replace(" 0,", f" {BIG},", 1), "got 401"),
    "digits": (json.dumps(changed(seed=7)).replace(" 7,", f" {'9' * 200_000},", 1), "got 200,000"),
    "counts": (changed(likelihood={"name": "Binomial", "total_count": 10**20}), "at most 2.53"),
    "many counts": (
        changed(likelihood={"name": "Binomial", "total_count": 10**6}, hidden_dims=[5]),
        "expected theta",
    ),
    "variance": (changed(likelihood={"name": "Gaussian", "variance": 10**99}), "expected theta|"),
    "infinite": (changed(likelihood={"name": "Gaussian", "variance": float("inf")}), "finite"),
    "not a number": (changed(beta=float("nan")), "beta must be a finite number"),
    "true": (changed(data_dim=True), "data_dim must be an integer, got True"),
    "true width": (changed(hidden_dims=[4, True]), "must be an integer, got True"),
    "negative": (changed(latent_dim=-2), "latent_dim must be at least 1, got -2"),
    "unhashable": (changed(activation=["relu"]), "unknown activation"),
    "likelihood": (
        changed(likelihood=[["name", "Bernoulli"]]),
        "not a description of a likelihood",
    ),
    "no name": (changed(likelihood={}), "unknown likelihood None"),
    "too much": (changed(likelihood={"name": "Bernoulli", "x\n": 1}), "not a description of a lik"),
    "unknown": (changed(**{"a\nb\x1b[2J": 1}), "unexpected keyword argument"),
    "text": (changed(dtype="x" * 100_000), "dtype must be float32 or float64"),
    "name": ({**DESCRIPTION, "model": "x" * 100_000}, "expected a VAE, got 'xxx"),
    "list": ({**DESCRIPTION, "model": ["VAE"]}, "expected a VAE, got"),
    "no arguments": ({"model": "VAE"}, "expected 'arguments' in its description"),
    "arguments": ({**DESCRIPTION, "arguments": [1, 2]}, "model.npz: "),
    "epochs": ({**DESCRIPTION, "epochs_trained": 1.5}, "epochs_trained must be an integer"),
    "deep JSON": ("[" * 30_000, "it is nested too deeply"),
    "deep object": ('{"a":' * 30_000, "it is nested too deeply"),
    "nested": (changed(data_dim=json.loads("[" * 150 + "]" * 150)), "data_dim must be an integer"),
    "no JSON": ("{", "expected a file that numpyvae saved"),
    "no object": ("[1]", "expected names and values, got a list"),
    "null": ("null", "got a NoneType"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_description_is_not_believed(name, tmp_path, cheap):
    description, message = WRONG[name]
    path = tmp_path / "model.npz"
    said = cheap(VAE.load, model_file(path, description, compression=zipfile.ZIP_STORED))
    if name == "variance":  # a number, and a fixed one: nothing is wrong with it
        assert said == ""
    else:
        assert re.search(message, said), said
        assert said.isprintable()


def entry(index, value):
    theta = np.zeros(P, np.float32)
    theta[index] = value
    return theta


ONES = [  # theta, and what is said of it
    (entry(3, np.nan), r"expected finite parameters, encoder\.0\.W\[0, 3\] is not"),
    (entry(-1, np.inf), r"decoder\.1\.b\[4\] is not"),
    (np.zeros(P), rf"expected theta \({P},\) float32, got \({P},\) float64"),
    (np.zeros(P, complex), "got .* complex128"),
    (np.zeros((P, 1), np.float32), rf"got \({P}, 1\)"),
    (np.zeros(P, "f4,f4"), "expected theta"),
    (np.zeros(P, "U1"), "got .* <U1"),
    (np.zeros(P, bool), "bool"),
    (header("(True, 3)") + bytes(12), r"the impossible shape \(True, 3\)"),
    (header("(-1,)"), r"the impossible shape \(-1,\)"),
    (header("(3.0,)"), "its .npy header cannot be read"),
    (header("(" + "9" * 4000 + ",)"), "the header promises"),
    (header("(" + "9" * 300 + ", " * 1 + "9" * 300 + ")"), "the header promises"),
    (header("(" + f"{2**62}," * 400 + ")"), "the header promises"),
    (header("(0, 10000000000)", "'<f4'"), "expected theta"),
    (header("(1000000000,)", "'V0'"), "expected theta"),
    (header("(100,)", "[('a', '<f4', (1000000, 1000))]"), "header cannot be read"),
    (header("(1,)", "'|O'") + bytes(8), "pickled Python objects"),
    (b"\x93NUMPY\2\0" + (2**31).to_bytes(4, "little") + b" " * 10**5, "header cannot be read"),
    (b"\x93NUMPY\x09\0" + bytes(100), "header cannot be read"),
    (header("(" * 5000), "header cannot be read"),
    (header("-" * 9000 + "1"), "header cannot be read"),
    (b"", "header cannot be read"),
]


@pytest.mark.parametrize(("theta", "message"), ONES, ids=lambda value: str(value)[:30])
def test_theta_is_not_believed(theta, message, tmp_path, cheap):
    said = cheap(VAE.load, model_file(tmp_path / "model.npz", theta=theta))
    assert re.search(message, said), said


def zeros_of(n_bytes, path, description, compression):
    """A model file whose theta is that many bytes of zeros, written without using that memory."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("description.npy", npy(np.array(json.dumps(description))))
        with archive.open("theta.npy", "w", force_zip64=True) as member:
            member.write(header(f"({n_bytes // 4},)"))
            for _ in range(n_bytes // 2**20):
                member.write(bytes(2**20))
    return path


@pytest.mark.parametrize(
    "compression",
    [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["deflate", "bzip2", "lzma"],
)
def test_zeros_that_expand_a_thousandfold_are_not_expanded(compression, tmp_path, cheap):
    """Also if the description agrees; also a description that is a long list."""
    n = 3 * 2**18
    assert VAE(1, 1, (112347,)).layout.size == n
    for description in (DESCRIPTION, changed(data_dim=1, latent_dim=1, hidden_dims=[112347])):
        path = zeros_of(4 * n, tmp_path / "model.npz", description, compression)
        assert path.stat().st_size < 10_000
        assert "expected at most 1," in cheap(VAE.load, path)
    long = changed(hidden_dims=[1] * 200_000)
    assert "expected at most 1," in cheap(VAE.load, model_file(path, long, compression=compression))


def test_zeros_that_expand_a_thousandfold_are_no_point(tmp_path, cheap):
    path = zeros_of(20 * 2**20, tmp_path / "point.npz", DESCRIPTION, zipfile.ZIP_DEFLATED)
    assert "expected at most 1,000 arrays of 17," in cheap(load_point, path, InputError)


def test_a_small_promise_of_another_compression_is_not_expanded(tmp_path, cheap):
    """bzip2 gives all it has at once, however little the archive says it has."""
    path = zeros_of(2**24, tmp_path / "x.npz", DESCRIPTION, zipfile.ZIP_BZIP2)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2")
    content[at + 24 : at + 28] = (2**10).to_bytes(4, "little")
    path.write_bytes(content)
    for read, error in ((VAE.load, ValueError), (read_theta, ValueError), (load_point, InputError)):
        assert "compress" in cheap(read, path, error)


def test_a_header_that_expands_a_thousandfold_is_not_expanded(tmp_path, cheap):
    length = 2**24
    content = b"\x93NUMPY\2\0" + length.to_bytes(4, "little") + b" " * length
    path = write(tmp_path / "x.npz", ("theta", content))
    assert "header cannot be read" in cheap(read_theta, path)


def read_theta(path):
    read_array(path, "theta")


def test_archives_of_too_much(tmp_path, cheap):
    path = tmp_path / "model.npz"
    good = ("description", npy(np.array(json.dumps(DESCRIPTION)))), ("theta", npy(ZEROS))
    many = [(f"x{i}", npy(ZEROS)) for i in range(1000)]
    assert "at most 100 arrays, got 1,002" in cheap(VAE.load, write(path, *good, *many))
    assert "at most 1,000 arrays" in cheap(load_point, path, InputError)
    with pytest.warns(UserWarning, match="Duplicate"):
        write(path, *good, good[1])
    for read, error in ((VAE.load, ValueError), (read_theta, ValueError), (load_point, InputError)):
        assert "expected one array 'theta', got two" in cheap(read, path, error)
    for text in (np.zeros(3), np.array(["{}"]), np.array(b"{}"), np.array(1.5)):
        said = cheap(VAE.load, write(path, ("description", npy(text)), good[1]))
        assert "expected a file that numpyvae saved" in said
    bad = npy(np.array("aa")).replace("a".encode("utf-32-le"), b"\xff\xff\xff\x7f")
    assert "model.npz" in cheap(VAE.load, write(path, ("description", bad), good[1]))
    assert "expected an array 'theta', got none" in cheap(VAE.load, write(path, good[0]))
    assert cheap(VAE.load, write(path, *good, ("unknown", npy(np.zeros(3))))) == ""


def test_open_npz_reads_what_is_asked_for_and_compares_first(tmp_path):
    path = tmp_path / "model.npz"
    write_npz(path, {"theta": np.arange(3.0), "optimizer.m": np.ones(4)}, {"model": "X"})
    with open_npz(path) as saved:
        assert saved.description == {"model": "X"}
        assert list(saved) == ["theta", "optimizer.m"]
        np.testing.assert_array_equal(saved.read("theta", (3,), np.float64), np.arange(3.0))
        with pytest.raises(ValueError, match=r"expected optimizer.m \(3,\) float64, got \(4,\)"):
            saved.read("optimizer.m", (3,), np.float64)
        with pytest.raises(ValueError, match=r"expected an array 'optimizer\.v', got none"):
            saved.read("optimizer.v")
    arrays, description = read_all(path)
    assert (sorted(arrays), description) == (["optimizer.m", "theta"], {"model": "X"})


@pytest.mark.parametrize("content", [
    header("(1000000000000,)", "'<f8'") + bytes(80), header("(True, 3)", "'<f8'") + bytes(24),
    header("(2,)", "'|O'") + bytes(16), header("(3,)", "'<f8'") + bytes(16), b"", b"theta",
    header("(1,)", "'<f8'") + bytes(16),
], ids=lambda value: str(value)[40:70])  # fmt: skip
def test_points_of_the_check_are_not_believed_either(content, tmp_path, cheap):
    for path in (write(tmp_path / "point.npz", ("theta", content)), tmp_path / "point.npy"):
        if path.suffix == ".npy":
            path.write_bytes(content)
        assert "is not an .npz file of plain arrays" in cheap(load_point, path, InputError)


def test_points_that_are_right(tmp_path):
    for theta in (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3)[:, :2]), np.array(1)):
        np.savez_compressed(tmp_path / "point.npz", theta=theta, n=np.arange(3))
        np.save(tmp_path / "point.npy", theta)
        for name, others in (("point.npz", ["n"]), ("point.npy", [])):
            read, more = load_point(tmp_path / name)
            np.testing.assert_array_equal(read, theta)
            assert (read.flags.writeable, list(more)) == (True, others)
    np.savez(tmp_path / "point.npz", W=np.eye(2), b=np.ones(2))
    assert sorted(load_point(tmp_path / "point.npz")[0]) == ["W", "b"]


@pytest.mark.parametrize("text", [
    "[" * 100_000, '{"data": ' + "1" * 10_000 + "}", '{"data": 1}', "[]", "null", "",
    '{"data": "' + "x" * 2**21 + '"}', '{"data": ["digits"]}', "\ud800",
], ids=lambda value: value[:20].strip() or "empty")  # fmt: skip
def test_the_configuration_of_a_run_is_not_believed(text, tmp_path, cheap):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    said = cheap(lambda path: open_run(str(path.parent)), tmp_path / "config.json")
    assert "is not a run's configuration" in said or "expected the name of the data" in said


def test_a_likelihood_of_many_counts_needs_no_table(cheap):
    x = np.array([[0.0, 3.0, 10**6], [10**6, 5e5, 3.0]])

    def measure(_):
        log_coefficients = Binomial(10**6).log_prob({}, x, np.zeros(x.shape))[0] + 3e6 * np.log(2)
        choose_3 = np.log(1e6 * (1e6 - 1) * (1e6 - 2) / 6)
        half = 1e6 * np.log(2) - 0.5 * np.log(np.pi * 5e5)  # Stirling
        np.testing.assert_allclose(log_coefficients, [choose_3, half + choose_3], atol=1e-6)

    cheap(measure, "")
    few, small = np.array([[0.0, 1.0, 2.0, 7.0]]), np.zeros((1, 4))
    with pytest.MonkeyPatch.context() as patch:
        by_table = Binomial(7).log_prob({}, few, small)[0]
        patch.setattr("numpyvae.likelihoods.binomial.TABLE", 0)
        np.testing.assert_array_equal(Binomial(7).log_prob({}, few, small)[0], by_table)
    with pytest.raises(ValueError, match="at most 2\\^53"):
        Binomial(10**400)
    with pytest.raises(ValueError, match="low and high must be finite"):
        SaltAndPepper(0.1, float("nan"))
    with pytest.raises(ValueError, match="beta must be a finite number"):
        VAE(2, 1, beta=10**400)
    with pytest.raises(ValueError, match="unknown tied"):
        Autoencoder(2, 1, tied="no")


MODELS = [
    VAE(3, 2, (4,)),
    LinearAutoencoder(3, 2, penalties=[1.0, 2.0]),
    Autoencoder(3, 2, (4,), likelihood=Bernoulli(), tied=True),
    DenoisingAutoencoder(3, 2, corruption=Masking(0.1), hidden_dims=(2,)),
    NoisyAutoencoder(3, 2, code_noise=0.1, hidden_dims=()),
    LearnedPriorVAE(3, 2, VampPrior(2), (4,)),
    ImportanceWeightedVAE(3, 2, hidden_dims=(4,)),
    FullCovarianceVAE(3, 2, (4,)),
]
VALUES = [
    None, True, False, 0, -1, 1, 2, 10**9, 10**30, 10**99, 1.5, -0.0, 1e300, float("nan"),
    float("inf"), "", "relu", "x" * 50_000, "\n\x1b", [], [[]], [1] * 5000, {}, {"name": "Masking"},
    {"name": "Binomial", "total_count": 10**6}, {"a": {"b": [None]}}, ["shared"], "per_dimension",
]  # fmt: skip


def mutated(value, rng):
    """`value` with one thing changed somewhere in it: replaced, removed, added or repeated."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        change = rng.random()
        if change < 0.7:
            return {**value, key: mutated(value[key], rng)}
        if change < 0.8:
            return {k: v for k, v in value.items() if k != key}
        return {**value, rng.choice(["self", "theta", "x" * 3000, key]): rng.choice(VALUES)}
    if isinstance(value, list) and value and rng.random() < 0.6:
        i = rng.randrange(len(value))
        return [*value[:i], mutated(value[i], rng), *value[i + 1 :]] * rng.choice([1, 1, 3000])
    return rng.choice(VALUES)


@pytest.mark.slow(keep=4)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_descriptions_that_are_almost_right(model, tmp_path, cheap):
    """Each loads or is refused in a line, and none costs more than a few megabytes."""
    rng, path = random.Random(type(model).__name__), tmp_path / "model.npz"
    description = {
        "model": type(model).__name__,
        "arguments": model.config(),
        "epochs_trained": 1,
    }
    theta, refused = np.zeros(model.layout.size, np.float32), 0
    for _ in range(60):
        changed = mutated(description, rng)
        said = cheap(type(model).load, model_file(path, changed, theta))
        refused += said != ""
    assert 30 < refused < 60


@pytest.mark.parametrize(
    "config", ["x" * 10**6, {"name": "x" * 10**6}, {"name": "A", "x": [0] * 10**6}]
)
def test_a_hostile_description_is_quoted_briefly(config):
    def make(**arguments):
        raise TypeError

    with pytest.raises(ValueError, match="layer") as caught:
        from_config("layer", config, {"A": make})
    assert len(str(caught.value)) < 300
