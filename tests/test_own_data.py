"""Data of one's own: in any unit, in files as spreadsheets and pandas write them."""

import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE, Adam, Autoencoder, Bernoulli, Binomial, Gaussian, plots, proofs
from numpyvae.cli import main
from numpyvae.data import read_array
from numpyvae.data.mnist import load_mnist
from numpyvae.data.tables import read_table
from numpyvae.likelihoods import likelihood_from_config
from numpyvae.run_data import load_data
from numpyvae.standardization import Standardization, column_moments
from numpyvae.training import DivergenceError

UNITS = np.array([30.0, 1e4, 1e-4, 1.0])
OFFSET = np.array([50.0, 1e5, 0.0, 2000.0])
VARIANCES = ("shared", "per_dimension", 0.5)


@pytest.fixture
def x(rng):
    """Ages, prices, a sensor, years: (120, 4), correlated."""
    return rng.standard_normal((120, 4)) @ rng.standard_normal((4, 4)) * UNITS + OFFSET


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to run the command in, which draws no pictures there: others look at those."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("numpyvae.runs._pictures", lambda vae, data: {})
    return tmp_path


def fitted(x, likelihood, epochs=3, **arguments):
    vae = VAE(x.shape[1], 2, (8,), likelihood=likelihood, dtype=np.float64, **arguments)
    vae.fit(x, epochs, batch_size=32, verbose=False)
    return vae


def write(name, *lines, encoding="utf-8"):
    Path(name).write_bytes(("\n".join(lines) + "\n").encode(encoding))


def train(name, *options):
    return main(["train", "--data", str(name), "--epochs", "1", "--hidden-dims", "4", "--out",
                 "run", "--overwrite", *map(str, options)])  # fmt: skip


# The model.


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_bound_is_that_of_standardised_data_with_the_jacobian(variance, x):
    likelihood = Gaussian(variance).scaled_to(x)
    y = (x - x.mean(axis=0)) / x.std(axis=0)
    mine, by_hand = fitted(x, likelihood), fitted(y, Gaussian(variance))
    log_scale = np.log(x.std(axis=0)).sum()
    np.testing.assert_allclose(mine.theta, by_hand.theta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mine.elbo(x), by_hand.elbo(y) - log_scale, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        mine.log_likelihood(x[:9], 7), by_hand.log_likelihood(y[:9], 7) - log_scale, atol=1e-8
    )
    np.testing.assert_allclose(mine.history[-1]["elbo"], by_hand.history[-1]["elbo"] - log_scale)
    undone = by_hand.reconstruct(y) * x.std(axis=0) + x.mean(axis=0)
    np.testing.assert_allclose(mine.reconstruct(x), undone, rtol=1e-8)


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1e3, 1e12])
@pytest.mark.parametrize("variance", VARIANCES)
def test_a_change_of_units_shifts_the_bound_by_its_logarithm(variance, unit, x):
    one = fitted(x, Gaussian(variance).scaled_to(x))
    other = fitted(unit * x, Gaussian(variance).scaled_to(unit * x))
    np.testing.assert_allclose(other.theta, one.theta, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(other.elbo(unit * x), one.elbo(x) - 4 * np.log(unit), atol=1e-7)
    np.testing.assert_allclose(other.sample(5), unit * one.sample(5), rtol=1e-6)


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_density_is_that_of_the_data(variance, x, rng):
    """Against the normal density written out, in the data's own units."""
    p = Gaussian(variance, OFFSET, UNITS)
    output = rng.standard_normal((len(x), p.output_dim(4)))
    params = {"likelihood.log_var": np.array([0.3])}
    log_var = {"shared": 0.3, "per_dimension": output[:, 4:], 0.5: np.log(0.5)}[variance]
    sd, mean = UNITS * np.exp(0.5 * log_var), OFFSET + UNITS * output[:, :4]
    density = np.exp(-0.5 * ((x - mean) / sd) ** 2) / (np.sqrt(2 * np.pi) * sd)
    log_prob, _ = p.log_prob(params, x, output)
    np.testing.assert_allclose(log_prob, np.log(density).sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(p.mean(output), mean)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("make", [VAE, Autoencoder])
def test_gradients_through_the_standardisation_are_proven(make, hidden, variance, rng):
    model = make(4, 3, hidden, "tanh", Gaussian(variance, OFFSET, UNITS), dtype=np.float64)
    x, noise = OFFSET + UNITS * rng.standard_normal((5, 4)), model.draw_noise(rng, 5)
    theta = 0.3 * rng.standard_normal(model.layout.size)
    proof = proofs.prove(
        proofs.Pair(
            "",
            lambda theta: model.loss(theta, x, noise),
            lambda theta: model.loss_and_grad(theta, x, noise)[1],
            theta,
        )
    )
    assert proof.passed, proof


@pytest.mark.parametrize("variance", VARIANCES)
def test_theta_decides_the_dtype(variance, x):
    vae = VAE(4, 2, (5,), likelihood=Gaussian(variance).scaled_to(x))
    assert vae.theta.dtype == np.float32
    loss, grad = vae.loss_and_grad(vae.theta, x, np.zeros((len(x), 2)))
    assert loss.dtype == grad.dtype == vae.reconstruct(x).dtype == np.float32
    assert vae.loss(vae.theta.astype(complex), x, np.zeros((len(x), 2))).dtype == np.complex128


def test_columns_of_any_unit_are_learned_in_float32(x):
    vae = VAE(4, 2, (16,), likelihood=Gaussian("shared").scaled_to(x), seed=1)
    vae.fit(x, 150, batch_size=20, optimizer=Adam(3e-3), verbose=False)
    explained = 1 - ((x - vae.reconstruct(x)) ** 2).mean(axis=0) / x.var(axis=0)
    assert explained.mean() > 0.5  # 0 is what the means alone would give


def test_a_saved_model_keeps_its_units(x, tmp_path):
    vae = fitted(x, Gaussian("shared").scaled_to(x), epochs=1)
    vae.save(tmp_path / "m.npz")
    again = VAE.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.elbo(x), vae.elbo(x))
    np.testing.assert_array_equal(again.sample(3), vae.sample(3))
    one = Gaussian("shared", 2.0, 3.0)
    assert likelihood_from_config(json.loads(json.dumps(one.config()))).config() == one.config()
    assert Gaussian("shared").config() == {"name": "Gaussian", "variance": "shared"}


@pytest.mark.parametrize(
    ("shift", "scale", "message"),
    [
        (0.0, 0.0, "scale must be above 0"),
        (0.0, [1.0, -1.0], "scale must be above 0"),
        ([0.0], [1.0, 2.0], "one shape"),
        (np.nan, 1.0, "finite"),
        (0.0, "much", "scale must"),
        ([[1.0]], 1.0, "shift must be a finite"),
        ([], 1.0, "shift must"),
    ],
)
def test_units_that_are_none_are_refused(shift, scale, message):
    with pytest.raises(ValueError, match=message):
        Gaussian("shared", shift, scale)


def test_units_for_other_columns_are_refused(x):
    with pytest.raises(ValueError, match="shift must have one value for each of 5 columns, got 4"):
        VAE(5, 2, likelihood=Gaussian().scaled_to(x))


def test_moments_of_the_columns(monkeypatch, x):
    monkeypatch.setattr("numpyvae.standardization.CHUNK", 50)
    x = np.column_stack([x, np.full(len(x), 0.1), 1e9 + x[:, 3]])
    mean, std = column_moments(x)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std[:4], x.std(axis=0)[:4], rtol=1e-12)
    assert (mean[4], std[4]) == (0.1, 0.0)
    units = Standardization.of(x)
    assert units.scale[4] == 1
    assert (units.forward({}, x)[0][:, 4] == 0).all()
    x[70, 1] = np.nan
    with pytest.raises(ValueError, match=r"x\[70, 1\] is NaN"):
        column_moments(x)


def test_a_constant_column_is_learned_as_such(x):
    x[:, 1] = 7.0
    vae = fitted(x, Gaussian("shared").scaled_to(x), epochs=30)
    assert np.isfinite(vae.elbo(x)).all()
    np.testing.assert_allclose(vae.sample(5)[:, 1], 7.0, atol=1.5)


def test_digits_that_float32_does_not_have_are_missed_in_time(x):
    x = 1e9 + x[:, :1]
    with pytest.raises(ValueError, match=r"x\[0, 0\] = .* float32: take dtype=float64"):
        VAE(1, 1, likelihood=Gaussian().scaled_to(x)).fit(x, verbose=False)
    assert np.isfinite(fitted(x, Gaussian().scaled_to(x)).elbo(x)).all()


def test_a_divergence_names_its_column_and_no_learning_rate_before_an_update(x):
    with pytest.raises(DivergenceError) as caught:
        fitted(1e3 * x, Gaussian("shared"))
    assert caught.value.column == 1
    for words in ("step 1, before any update", "Column 1 of x has mean", ".scaled_to(x)"):
        assert words in str(caught.value)
    assert "rate" not in str(caught.value)


def test_a_divergence_after_updates_names_the_rate_beside_the_column(rng):
    y = rng.normal(6.0, 1.0, (200, 4))
    with pytest.raises(DivergenceError) as caught:
        VAE(4, 2, likelihood=Gaussian()).fit(y, 3, optimizer=Adam(1e30), verbose=False)
    for words in ("has mean", ".scaled_to(x), or try a smaller learning rate (now 1e+30)."):
        assert words in str(caught.value)


def test_a_divergence_of_standardised_data_blames_the_rate(x):
    vae = VAE(4, 2, likelihood=Gaussian("shared").scaled_to(x))
    with pytest.raises(DivergenceError, match="smaller learning rate") as caught:
        vae.fit(x, 3, optimizer=Adam(1e30), verbose=False)
    assert caught.value.column is None


@pytest.mark.parametrize(("value", "text"), [
    (1 + 1e-7, "1.0000001"), (2, "2"), (np.float32(0.1), "0.1"), (np.uint8(3), "3"),
    (1 + 2**-23, "1.0000001192092896"), (-1e-300, "-1e-300"), (True + 1.5, "2.5"),
])  # fmt: skip
def test_a_value_outside_the_support_is_shown_as_it_is(value, text):
    with pytest.raises(ValueError) as caught:
        Bernoulli().check(np.array([[0, value]]).astype(np.asarray(value).dtype))
    assert f"x[0, 1] = {text} is outside" in str(caught.value)


# The likelihood that fits.


@pytest.mark.parametrize(
    ("high", "likelihood"),
    [
        (1, {"name": "Bernoulli"}),
        (16, {"name": "Binomial", "total_count": 16}),
        (100, {"name": "Binomial", "total_count": 100}),
        (255, {"name": "Binomial", "total_count": 255}),
        (254, {"name": "Binomial", "total_count": 255}),
        (256, {"name": "Gaussian"}),
    ],
)
def test_the_same_integers_get_the_same_likelihood(high, likelihood, here, rng):
    x = rng.integers(0, high + 1, (30, 4))
    x[3, 2] = high
    np.savetxt("x.csv", x, "%d", ",", header="a,b,c,d", comments="")
    np.savetxt("float.csv", x, delimiter=",")
    sources = ["x.csv", "float.csv"]
    for dtype in ("u1", "i8", "f4", "f8") if high < 256 else ("i8", "f4"):
        np.save(f"{dtype}.npy", x.astype(dtype))
        sources.append(f"{dtype}.npy")
    np.savez("x.npz", x=x)
    for source in [*sources, "x.npz"]:
        assert load_data(source).likelihood.config().items() >= likelihood.items(), source


@pytest.mark.parametrize("value", [-1, 0.5, 256])
def test_one_value_in_the_last_row_decides(value, here, monkeypatch):
    monkeypatch.setattr("numpyvae.standardization.CHUNK", 7)
    x = np.zeros((40, 3))
    x[-1, -1] = value
    np.save("x.npy", x)
    assert isinstance(load_data("x.npy").likelihood, Gaussian)


def test_the_choice_is_said_and_can_be_changed(here, capsys):
    np.save("x.npy", np.arange(120).reshape(30, 4) % 17)
    assert train("x.npy") == 0
    assert (
        "whole numbers 0 to 16 are taken for counts of at most 16 (--likel"
        in capsys.readouterr().out
    )
    assert train("x.npy", "--likelihood", "gaussian:shared") == 0
    out = capsys.readouterr().out
    assert "counts" not in out
    assert "standardised" in out


# Standardised or not.


def units_of(run="run"):
    return VAE.load(f"{run}/model.npz").likelihood.standardization


@pytest.mark.parametrize(
    ("change", "by_default"),
    [
        (lambda x: x, False),
        (lambda x: 30 * x, True),
        (lambda x: 1e-3 * x, True),
        (lambda x: x + 40, True),
        (lambda x: x * [1, 1, 1e4], True),
        (lambda x: x * [1, 1, 0], False),
        (lambda x: (x - x.min()) / np.ptp(x), False),
    ],
)
def test_what_is_not_of_size_one_is_standardised_by_default(change, by_default, here, rng):
    x = change(rng.standard_normal((60, 3)))
    np.save("x.npy", x)
    assert train("x.npy") == 0
    assert (units_of() is not None) == by_default
    assert train("x.npy", "--standardize") == 0
    x_train = load_data("x.npy").x_train
    np.testing.assert_allclose(units_of().shift, x_train.mean(axis=0), atol=1e-12)


def test_units_are_the_users_to_refuse(here, rng):
    np.save("x.npy", 5 * rng.standard_normal((60, 3)))
    assert train("x.npy", "--no-standardize") == 0
    assert units_of() is None
    assert train("x.npy", "--likelihood", "gaussian:25") == 0  # a variance in the data's own units
    assert units_of() is None


@pytest.mark.parametrize("likelihood", ["bernoulli", "binomial:255"])
def test_counts_are_not_standardised(likelihood, here, capsys):
    np.save("x.npy", np.eye(20))
    assert train("x.npy", "--standardize", "--likelihood", likelihood) == 2
    assert "--standardize is for --likelihood gaussian:shared" in capsys.readouterr().err


def test_seconds_since_1970_are_told_apart(here, rng):
    np.save("x.npy", 1.7e9 + 3600 * rng.random((40, 2)))
    assert train("x.npy") == 0
    assert VAE.load("run/model.npz").dtype == np.float64


def test_the_command_names_the_column_and_the_option(here, capsys, x):
    np.savetxt("x.csv", 1e3 * x, delimiter=",", header="age,price,volt,year", comments="")
    assert train("x.csv", "--no-standardize") == 2
    err = capsys.readouterr().err
    assert "Column 'price' has mean" in err
    assert err.endswith(": add --standardize\n")
    assert train("x.csv", "--standardize") == 0
    np.save("x.npy", 1e3 * x)
    assert train("x.npy", "--no-standardize") == 2
    assert "Column 2 has mean" in capsys.readouterr().err, "as --drop counts"


# Tables.

ROWS = ["0.5,1.5,2.5", "3.5,4.5,5.25", "6.5,7.5,8.75", "1.5,2.5,3.5", "2.5,0.5,0.25", "9.5,1.5,1"]
NUMBERS = [[float(cell) for cell in row.split(",")] for row in ROWS]


def table(*lines, **choice):
    write("x.csv", *lines)
    return read_table("x.csv", **choice)


@pytest.mark.parametrize("first", ["0,1,2", "2019,2020,2021", "1,2,3", "a,b,c", "# a,b,c"])
def test_a_header_is_no_example(first, here):
    if first == "1,2,3":  # only of numbers that are not written as the data are
        rows = [row + ".5" if row.endswith(",1") else row for row in ROWS]
        write("x.csv", first, *rows)
        assert len(read_array("x.csv")) == len(rows)
        return
    write("x.csv", first, *ROWS)
    np.testing.assert_array_equal(read_array("x.csv"), NUMBERS)
    assert read_table("x.csv").names == tuple(first.removeprefix("# ").split(","))


@pytest.mark.parametrize("rows", [
    ["0,1,2", "3,4,5", "6,7,8"], ["0,1", "1,0", "1,1"], ["0", "1", "0"], ["0,1,2"],
    ["1,2", "3,4.5"], ["4,5,6", "7,8,9"], ["0.0,1.0,2.0", "5.0,1.0,2.5"],
])  # fmt: skip
def test_numbers_that_may_be_an_example_are_one(rows, here):
    write("x.csv", *rows)
    np.testing.assert_array_equal(
        read_array("x.csv"), [[float(cell) for cell in row.split(",")] for row in rows]
    )


@pytest.mark.parametrize(("header", "index"), [
    (",a,b,c", range(6)), ("Unnamed: 0,a,b,c", [9, 4, 7, 1, 0, 3]), (",0,1,2", range(6)),
    ("id,a,b,c", range(6)), ("index,a,b,c", range(1, 7)), ("a,b,c", ["Fiat", "Mazda", *"cdef"]),
    (None, range(6)), ('"",a,b,c', range(6)),
])  # fmt: skip
def test_row_numbers_are_noticed(header, index, here):
    lines = [f"{i},{row}" for i, row in zip(index, ROWS, strict=True)]
    read = table(*([header] if header else []), *lines)
    np.testing.assert_array_equal(read.x, NUMBERS)
    assert any("numbers the rows" in note for note in read.notes)
    assert read.columns == (1, 2, 3)


def test_a_column_called_id_that_does_not_count_is_data(here):
    assert table("id,a", *[f"{i},{i}" for i in (3, 1, 4, 1, 5)]).x.shape == (5, 2)


@pytest.mark.parametrize(
    ("header", "labelled"),
    [
        ("label,a,b", True),
        ("Class,a,b", True),
        ("a,b,target", True),
        ("a,y,b", True),
        ("x,y,z", False),
        ("a,b,c", False),
    ],
)
def test_a_column_of_labels_is_noticed(header, labelled, here):
    names = header.split(",")
    numbers = np.array(NUMBERS)
    usual = [j for j, name in enumerate(names) if name.lower() not in "abcxz"]
    numbers[:, usual] = np.floor(numbers[:, usual])  # whole numbers are labels
    read = table(header, *[",".join(map(str, row)) for row in numbers])
    assert read.x.shape == (6, 2 if labelled else 3)
    assert (read.labels is not None) == labelled
    assert any("gives the labels" in note for note in read.notes) == labelled
    everything = read_table("x.csv", columns=names)
    np.testing.assert_array_equal(everything.x, numbers)
    assert everything.labels is None


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["1.0", "2.0", "1.0", "0", "1e1", "3"], [1, 2, 1, 0, 10, 3]),
        (["a", "b", "a", "a", "c ", "b"], ["a", "b", "a", "a", "c", "b"]),
        (["0.5", "1", "1", "1", "1", "1"], [0.5, 1, 1, 1, 1, 1]),
    ],
)
def test_labels_are_whole_numbers_text_or_numbers(cells, labels, here):
    lines = [f"{row},{cell}" for row, cell in zip(ROWS, cells, strict=True)]
    read = table("a,b,c,kind", *lines, label_column="kind")
    assert read.labels.tolist() == labels
    np.testing.assert_array_equal(read.x, NUMBERS)
    by_number = table(*lines, label_column="4")
    assert by_number.labels.tolist() == labels


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"columns": ["c", "a"]}, ("c", "a")),
        ({"columns": ["3", "1"]}, ("c", "a")),
        ({"drop": ["b"]}, ("a", "c")),
        ({"label_column": "a", "drop": ["c"]}, ("b",)),
    ],
)
def test_columns_are_chosen_by_name_or_number(choice, names, here):
    read = table("a,b,c", *ROWS, **choice)
    assert read.names == names
    np.testing.assert_array_equal(read.x, np.array(NUMBERS)[:, ["abc".index(n) for n in names]])
    np.save("x.npy", np.array(NUMBERS))
    numbers = {
        key: str("abc".index(value) + 1)
        if isinstance(value, str) and value in "abc"
        else [str("abc".index(v) + 1) if v in "abc" else v for v in value]
        for key, value in choice.items()
    }
    np.testing.assert_array_equal(read_table("x.npy", **numbers).x, read.x)


def test_the_labels_of_an_archive(here):
    x = np.array(NUMBERS)
    np.savez("x.npz", x=x, y=np.arange(6.0), other=np.array(list("abcabc")), z=x[:, :1])
    assert read_table("x.npz").labels.tolist() == list(range(6))
    assert read_table("x.npz", label_column="other").labels.tolist() == list("abcabc")
    assert read_table("x.npz", key="z").x.shape == (6, 1)
    np.savez("short.npz", x=x, y=np.arange(5))
    read = read_table("short.npz")
    assert read.labels is None
    assert any("one label for each of 6 rows in 'y', got shape (5,)" in note for note in read.notes)


FOREIGN = [
    (["a;b;c"] + [row.replace(",", ";") for row in ROWS], "semicolons separate the cells"),
    (["a;b"] + [row.replace(",", ";").replace(".", ",") for row in ROWS], "a decimal comma"),
    (["a;b;c"] + [row.replace(",", ";").replace(".", ",") for row in ROWS],
     "row 2: semicolons separate the cells: expected commas and decimal points ('0,5' has a"),
    (["a\tb\tc"] + [row.replace(",", "\t") for row in ROWS], "tabs separate the cells"),
    (["a|b|c"] + [row.replace(",", "|") for row in ROWS], "vertical bars separate the cells"),
    ([row.replace(",", "  ") for row in ROWS], "spaces separate the cells"),
    (["# by me", "a,b,c", *ROWS], "row 1 is a comment, '# by me': remove it"),
    (["a,b,c", *ROWS, "# half", *ROWS], "row 8 is a comment, '# half'"),
    (["sep=;", "a;b;c"] + [row.replace(",", ";") for row in ROWS], "row 1 is 'sep=;'"),
    (["sep=,", "a,b,c", *ROWS], "row 1 is 'sep=,'"),
    (["a,b", *["0,5,1,2"] * 6], "row 2 has 4 cells, expected 2 as in row 1 (a decimal comma"),
    (["a,b,c", *(row + "," for row in ROWS)], "row 2 has 4 cells, expected 3 as in row 1 (a comma"),
    (["a,b,c", "", *ROWS, "1,2"], "row 9 has 2 cells, expected 3"),
    (["a,b,c", *ROWS, '1,"1,234.5",2'], "'1,234.5' in 'b' (a thousands separator"),
    (["a,b,c", *ROWS, '1,"1,5",2'], "'1,5' in 'b' (a decimal comma"),
    (["a,b,c", *ROWS, "1,True,2"], "write 1 for true"),
    (["a,b,c", *ROWS, "1,red,2"], "got 'red' in 'b' (commas separate the cells). --drop b leaves "
     "the column out, --label-column b takes it for labels"),
    (["a,b,c", *ROWS, "1,nan,2"], "row 8, column 'b' (a "),
    (["a,b,c", *ROWS, "1,inf,2"], "is infinity"),
    *((["a,b,c", *ROWS, f"1,{missing},2"], f"row 8, column 2: expected a number, got '{missing}' "
       "in 'b' (a missing value") for missing in ("", "NA", "?", "null", "N/A", "None", "-")),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "message"), FOREIGN, ids=[message for _, message in FOREIGN])
def test_what_is_foreign_is_named_as_what_it_is(lines, message, here, capsys):
    write("x.csv", *lines)
    assert train("x.csv") == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("numpyvae: x.csv")
    assert err.count("\n") == 1
    assert len(err) < 300
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("name", "encoding", "message"),
    [
        ("x.csv", "utf-16", "got UTF-16"),
        ("x.csv", "utf-16-le", "got UTF-16"),
        ("x.csv", "latin-1", "row 5000: expected comma-separated text: the byte 0xf6 is not UTF-8"),
        ("x.tsv", "utf-8", "'.tsv' (tabs?"),
        ("x.txt", "utf-8", "'.txt' (separate its cells by commas"),
        ("x.xlsx", "utf-8", "a spreadsheet: save it as .csv"),
        ("x.csv.gz", "utf-8", "(unpack it)"),
    ],
)
def test_other_files_are_named_as_what_they_are(name, encoding, message, here, capsys):
    write(name, *["1,2"] * 4999, "größe,2", encoding=encoding)
    assert train(name) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("bad", range(10))
def test_an_entry_is_named_by_the_line_of_the_file_and_its_part(bad, here, capsys):
    rows = ["0,1"] * 10
    rows[bad] = "0,3"
    write("x.csv", "a,b", "", *rows)
    assert train("x.csv", "--likelihood", "bernoulli") == 2
    test_rows = np.random.default_rng(0).permutation(10)[:2]
    part = "test" if bad in test_rows else "training"
    expected = f"x.csv: row {bad + 3}, column 'b' (a {part} row) = 3 is outside the support"
    assert expected in capsys.readouterr().err
    np.save("x.npy", np.array([[int(cell) for cell in row.split(",")] for row in rows]))
    assert train("x.npy", "--likelihood", "bernoulli") == 2
    assert f"x.npy[{bad}, 1] (a {part} row) = 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "a", "price"], "there is no column 'price': it has a, b, c"),
        (["--drop", "a", "b", "c"], "expected at least one column of data, all are left out"),
        (["--label-column", "4"], "there is no column '4'"),
        (["--key", "x"], "--key 'x' picks an array of an .npz file, this is a .csv"),
        (["--latent-dim", "0"], "--latent-dim must be at least 1"),
    ],
)
def test_choices_that_do_not_fit(options, message, here, capsys):
    write("x.csv", "a,b,c", *ROWS)
    assert train("x.csv", *options) == 2
    assert message in capsys.readouterr().err


def test_two_columns_of_one_name(here):
    with pytest.raises(ValueError, match="2 columns are called 'a'"):
        table("a,a,b", *ROWS, columns=["a"])


def test_an_archive_without_a_usual_name_says_how_to_pick(here, capsys):
    np.savez("x.npz", a=np.zeros((9, 2)), b=np.ones((9, 3)))
    assert train("x.npz") == 2
    assert "(--key 'a' picks one)" in capsys.readouterr().err
    assert train("x.npz", "--key", "b") == 0
    assert json.loads((here / "run" / "config.json").read_text())["key"] == "b"


# What a run remembers.


@pytest.mark.slow
def test_evaluate_takes_all_of_another_file_in_the_units_and_columns_of_the_run(here, capsys, x):
    lines = [",".join([str(i), *map(repr, row.tolist()), "abc"[i % 3]]) for i, row in enumerate(x)]
    write("x.csv", ",age,price,volt,year,species", *lines)
    assert train("x.csv", "--label-column", "species", "--drop", "volt") == 0
    vae, kept = VAE.load("run/model.npz"), x[:, [0, 1, 3]]
    capsys.readouterr()

    def elbo(*arguments):
        assert main(["evaluate", "run", "--samples", "2", *arguments]) == 0
        out = capsys.readouterr().out
        return out, float(out.split("ELBO")[1].split()[0])

    def expected(x):
        from numpyvae.evaluation import evaluate

        return evaluate(vae, x, 2, np.random.default_rng(0))["elbo"]

    out, value = elbo()
    assert "means over 24 test examples" in out
    assert value == pytest.approx(
        expected(load_data("x.csv", label_column="species", drop=["volt"]).x_test), abs=2e-3
    )
    other = [",".join(map(repr, row[[3, 1, 0]].tolist())) for row in x[:50]]
    write("other.csv", "year,price,age", *other)
    np.save("other.npy", kept[:50])
    for name in ("other.csv", "other.npy"):
        out, value = elbo("--data", name)
        assert f"means over all 50 rows of {name}" in out
        assert value == pytest.approx(expected(kept[:50]), abs=2e-3)
    assert "all 120 rows of x.csv, most of which it was trained on" in elbo("--data", "x.csv")[0]
    np.save("wide.npy", x)
    assert main(["evaluate", "run", "--data", "wide.npy"]) == 2
    assert "wide.npy: expected 3 columns of data, as the run was trained on, got 4" in (
        capsys.readouterr().err
    )
    out, value = elbo("--data", "wide.npy", "--columns", "1", "2", "4")
    assert value == pytest.approx(expected(kept), abs=2e-3)
    write("poor.csv", "age,price", "1,2.5")
    assert main(["evaluate", "run", "--data", "poor.csv"]) == 2
    assert "poor.csv: there is no column 'year': it has age, price" in capsys.readouterr().err


def test_evaluate_names_the_test_rows_of_an_archive(here, capsys, x):
    np.savez("split.npz", x_train=x[:40], x_test=x[40:60])
    assert train("split.npz") == 0
    for key, rows in [
        ((), "the 20 rows of x_test in"),
        (("--key", "x_test"), "the 20 rows of x_test in"),
        (("--key", "x_train"), "all 40 rows of"),
    ]:
        capsys.readouterr()
        assert main(["evaluate", "run", "--data", "split.npz", "--samples", "2", *key]) == 0
        out = capsys.readouterr().out
        assert f"means over {rows} split.npz" in out
        assert ("trained on" in out) == (key == ("--key", "x_train"))


def test_what_overflows_in_evaluate_is_no_warning(here, capsys, x):
    np.save("x.npy", (x - OFFSET) / UNITS)
    assert train("x.npy", "--no-standardize", "--likelihood", "gaussian:1") == 0
    np.save("huge.npy", np.full((3, 4), 1e30))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["evaluate", "run", "--samples", "2", "--data", "huge.npy"]) == 0
    assert "ELBO" in capsys.readouterr().out


def test_the_command_speaks_of_its_options_and_leaves_names_as_they_are(here, capsys):
    write("x.csv", "a,b,c", *ROWS)
    assert train("x.csv", "--hidden-dims", *["1"] * 1001) == 2
    assert "expected at most 1000 --hidden-dims, got 1001" in capsys.readouterr().err
    assert train("x.csv", "--standardize", "--likelihood", "bernoulli") == 2
    assert "gaussian:per_dimension or gaussian:VARIANCE, got Bern" in capsys.readouterr().err
    assert train("key=3/x.csv") == 2
    assert "numpyvae: key=3/x.csv: no such file" in capsys.readouterr().err


# Figures and downloads.


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_thirty_classes_fit_the_figure_and_can_be_told_apart(latent_dim, rng):
    vae = VAE(3, latent_dim, (4,), likelihood=Gaussian())
    labels = np.arange(90) % 30 * 1.0
    figure = plots.latent_space(vae, rng.standard_normal((90, 3)), labels)
    figure.set_dpi(40)
    figure.savefig(io.BytesIO(), dpi=40)  # which lays it out
    (ax,) = figure.axes
    if latent_dim == 1:
        assert [t.get_text() for t in ax.get_yticklabels()] == [str(k) for k in range(30)]
        assert (
            ax.get_window_extent().height / 30 > ax.get_yticklabels()[0].get_window_extent().height
        )
        return
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == [str(k) for k in range(30)]
    box, frame = legend.get_window_extent(), figure.bbox
    assert box.y0 >= 0
    assert box.height < 0.75 * ax.get_window_extent().height
    assert box.x1 <= frame.x1
    looks = {
        (tuple(handle.get_facecolor()[0]), handle.get_paths()[0].vertices.tobytes())
        for handle in legend.legend_handles
    }
    assert len(looks) == 30


def test_a_failed_download_says_where_the_files_may_be(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NUMPYVAE_DATA", raising=False)
    with pytest.raises(OSError, match="NUMPYVAE_DATA"):
        load_mnist(mirrors=[])


def test_a_binomial_has_no_units():
    assert Binomial(3).standardization is None


def test_lines_of_columns_in_units_of_their_own_are_drawn_standardised(x):
    vae = VAE(4, 2, (4,), likelihood=Gaussian().scaled_to(x))
    figure = plots.reconstructions(vae, x, 5)
    drawn = np.array([ax.lines[0].get_ydata() for ax in figure.axes])
    np.testing.assert_allclose(drawn, ((x - x.mean(axis=0)) / x.std(axis=0))[:5], rtol=1e-9)
    assert "each column standardised" in figure.get_suptitle()
    assert "standardised" in plots.manifold(vae, 3).axes[0].get_title("left")
    (ax,) = plots.samples(vae, 3).axes
    assert "standardised" in ax.get_title("left")
    assert np.abs([line.get_ydata() for line in ax.lines]).max() < 5
