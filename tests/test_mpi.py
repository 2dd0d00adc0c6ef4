"""Training on several ranks: the gradient of one process, no row lost, no rank left waiting.

Ranks are threads (`fake_mpi`); `test_mpi_real.py` has them as processes of mpiexec.
"""

import json
import re
import runpy
import threading
from pathlib import Path

import numpy as np
import pytest
from fake_mpi import Ranks
from planting import plant

from numpyvae import SGD, VAE, Adam, Autoencoder, Bernoulli, ConditionalVAE, KeepBest, Warmup
from numpyvae.data import binarize_pixels
from numpyvae.interrupts import Interrupted
from numpyvae.models import MODELS
from numpyvae.models.model import Sizes
from numpyvae.mpi import DataParallel, RanksDifferError, data_parallel, piece, shards, together
from numpyvae.training import DivergenceError

ROOT = Path(__file__).resolve().parent.parent
DOCS, EXAMPLE = ROOT / "docs", ROOT / "examples" / "19_many_ranks.py"
RANKS = (1, 2, 4)
REFUSED = {
    "VectorQuantizedVAE": "besides theta it changes codebook.started, codebook.counts",
    "SemiSupervisedVAE": "part of its loss is a mean over the examples with a known label",
}
QUIET = {"verbose": False}


def small_vae(dtype=np.float64, seed=3, **options):
    return VAE(6, 2, (5,), "tanh", Bernoulli(), seed=seed, dtype=dtype, **options)


def autoencoder():
    return Autoencoder(6, 2, (5,), "tanh", Bernoulli(), dtype=np.float64)


def binary(rng, n=23, d=6):
    return rng.integers(0, 2, (n, d)).astype(np.float64)


def trained(size, x, make=small_vae, **options):
    """The models of all ranks after a fit."""

    def work(comm):
        model = make()
        DataParallel(model, comm).fit(x, **{"epochs": 2, "batch_size": 8, **QUIET, **options})
        return model

    return Ranks(size).run(work)


def measured(history):
    """A history without times."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


# The gradient.


def gradients(size, model, data, noise):
    return Ranks(size).run(
        lambda comm: DataParallel(model, comm).loss_and_grad(model.theta, data, noise)
    )


def ours():
    """Small models of every class that several ranks can train."""
    for name, kind in sorted(MODELS.items()):
        if kind.__module__.startswith("numpyvae.") and name not in REFUSED:
            yield from kind.examples(Sizes())


@pytest.mark.slow(keep=4)
@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("n", [3, 5, 8])  # of fewer rows than ranks, and of pieces that differ
def test_the_gradient_of_every_model_is_that_of_one_process(size, n, rng):
    for model in ours():
        data, noise = model.draw_data(rng, n), model.draw_noise(rng, n)
        loss, grad = model.loss_and_grad(model.theta, data, noise)
        for on_rank, grad_on_rank in gradients(size, model, data, noise):
            scale = np.abs(grad).max()
            np.testing.assert_allclose(on_rank, loss, rtol=1e-12, err_msg=repr(model))
            np.testing.assert_allclose(grad_on_rank / scale, grad / scale, rtol=0, atol=1e-12)


def test_a_mean_that_is_not_weighted_is_not_the_mean(monkeypatch, rng):
    """Of 5 rows on 2 ranks, the planted mean of means is off by a tenth; on equal pieces by 0."""
    model, rank_1 = small_vae(), 1
    x, noise = binary(rng, 5), rng.standard_normal((5, 2))
    right = model.loss_and_grad(model.theta, x, noise)[1]
    plant(monkeypatch, DataParallel, "_mean",
          "np.multiply(grad, part.weight", "np.multiply(grad, 1 / self.comm.size")  # fmt: skip
    wrong = gradients(2, model, x, noise)[rank_1][1]
    assert np.abs(wrong - right).max() > 0.01 * np.abs(right).max()
    four = slice(4)
    right = model.loss_and_grad(model.theta, x[four], noise[four])[1]
    equal = gradients(2, model, x[four], noise[four])[rank_1][1]
    np.testing.assert_allclose(equal, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", RANKS)
def test_training_on_the_same_batches_and_noise_is_that_of_one_process(size, rng):
    x = binary(rng, 30)
    draws = [(rng.permutation(30)[:13], rng.standard_normal((13, 2))) for _ in range(40)]

    def train(model, loss_and_grad):
        optimizer = Adam(1e-2)
        for rows, noise in draws:
            optimizer.step(model.theta, loss_and_grad(model.theta, x[rows], noise)[1])
        return model.theta

    def work(comm):
        model = small_vae()
        return train(model, DataParallel(model, comm).loss_and_grad)

    model = small_vae()
    alone = train(model, model.loss_and_grad)
    for theta in Ranks(size).run(work):
        np.testing.assert_allclose(theta, alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", RANKS)
def test_fit_on_whole_batches_without_noise_is_that_of_one_process(size, rng):
    """An autoencoder draws none, and in a minibatch of all rows their order is nothing."""
    x = binary(rng)
    options = {"epochs": 20, "batch_size": len(x), "validation_data": x[:7]}
    alone = autoencoder()
    alone.fit(x, **options, **QUIET)
    for model in trained(size, x, autoencoder, **options):
        np.testing.assert_allclose(model.theta, alone.theta, rtol=0, atol=1e-9)
        for record, expected in zip(measured(model.history), measured(alone.history), strict=True):
            assert record == pytest.approx(expected, rel=1e-9)


# On one rank: the same bits.


def labelled(dtype=np.float32):
    return ConditionalVAE(6, 2, 3, (5,), "tanh", Bernoulli(), dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_rank_gives_the_bits_of_fit(dtype, rng):
    x, y = binary(rng), rng.integers(0, 3, 23)
    options = {"epochs": 3, "batch_size": 8, **QUIET}
    for make, data, more in (
        (small_vae, (x,), {"validation_data": x[:5]}),
        (small_vae, (x * 0.7,), {"transform": binarize_pixels, "validation_data": x[:5] * 0.7}),
        (labelled, (x, y), {"validation_data": (x[:5], y[:5])}),
    ):
        alone = make(dtype=dtype)
        alone.fit(*data, **options, **more)
        whole = data if len(data) > 1 else data[0]
        (model,) = trained(1, whole, lambda make=make: make(dtype=dtype), epochs=3, **more)
        assert np.array_equal(model.theta, alone.theta)
        assert measured(model.history) == measured(alone.history)


@pytest.mark.parametrize("size", [1, 2])
def test_lists_are_data_as_for_fit(size, rng):
    x, y = binary(rng), rng.integers(0, 3, 23)
    for data, of_lists in ((x, x.tolist()), ((x, y), (x.tolist(), y.tolist()))):
        make = labelled if isinstance(data, tuple) else small_vae
        model, expected = trained(size, of_lists, make)[0], trained(size, data, make)[0]
        assert np.array_equal(model.theta, expected.theta)


# What each rank reads and draws.


class Spy:
    """A model whose steps are noted: the rows, by their first column, and the noise."""

    def __init__(self, model):
        self.steps, self.model = [], model

        def note(theta, data, noise, grad=None, see=model.loss_and_terms):
            self.steps.append((data[:, 0].copy(), noise, grad is not None))
            return see(theta, data, noise, grad)

        model.loss_and_terms = note
        model.check_data = lambda data: data

    def rows(self):
        """Of each training step."""
        return [rows for rows, _, is_step in self.steps if is_step]


def spied(size, x, **options):
    def work(comm):
        spy = Spy(small_vae())
        parallel = DataParallel(spy.model, comm)
        parallel.fit(x, **{"epochs": 1, "batch_size": 4, **QUIET, **options})
        return spy

    return Ranks(size).run(work)


def numbered(n, d=6):
    """x (n, d) with 1 / (row + 1) in the first column, and zeros."""
    x = np.zeros((n, d))
    x[:, 0] = 1 / np.arange(1, n + 1)
    return x


@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("n", [1, 3, 9, 10, 12, 17])
def test_every_row_is_trained_on_once_an_epoch(size, n):
    """Pieces of unequal length lose none, the ranks take as many steps, minibatches are whole."""
    x, seen = numbered(n), []
    spies = spied(size, x)
    steps = [len(spy.rows()) for spy in spies]
    assert steps == [-(-n // 4)] * size
    for rank, spy in enumerate(spies):
        own = set(x[piece(n, rank, size), 0])
        mine = [[row for row in rows if row in own] for rows in spy.rows()]
        assert sum(map(len, mine)) == len(own)
        seen.append([len(rows) for rows in mine])
        assert {row for rows in mine for row in rows} == own
        foreign = {row for rows in spy.rows() for row in rows} - own
        assert foreign <= {x[0, 0]}, "where there is no row left, the first stands in, unweighted"
    assert [sum(step) for step in zip(*seen, strict=True)] == [
        min(4, n - start) for start in range(0, n, 4)
    ]


def test_a_rank_reads_no_rows_but_its_own(tmp_path):
    """A memmap whose other half is no number would spoil all else; no array of its size is made."""
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((40, 6)))
    x = np.load(path, mmap_mode="r+")
    read = []

    class Watched(np.ndarray):
        def __getitem__(self, rows):
            found = np.asarray(self)[rows]
            if found.ndim == 2:
                read.append((threading.get_ident(), rows, len(found)))
            return found

    def work(comm):
        DataParallel(small_vae(), comm).fit(x.view(Watched), 2, 8, **QUIET)
        return comm.rank, threading.get_ident()

    ranks = {thread: rank for rank, thread in Ranks(2).run(work)}
    for thread, rows, n in read:
        own = np.arange(40)[piece(40, ranks[thread], 2)]
        assert set(np.arange(40)[rows]) <= set(own)
        assert n <= 20, "the check reads the piece, by its chunks"
    assert len(read) == 2 * (1 + 1 + 2 * 5), "the checks of rows and loss, and two epochs"


def test_noise_and_order_differ_between_ranks_and_rank_0_keeps_those_of_the_seed():
    x = numbered(16)
    (alone,), (first, second) = spied(1, x, batch_size=4), spied(2, x, batch_size=8)
    noises = [[noise for _, noise, is_step in spy.steps if is_step] for spy in (first, second)]
    for a, b in zip(*noises, strict=True):
        assert a.shape == b.shape == (4, 2)
        assert not np.isin(a, b).any()
    again = spied(2, x, batch_size=8)
    assert np.array_equal(again[1].steps[0][1], second.steps[0][1]), "the seed decides"
    generator = np.random.default_rng([3, 1])
    order = generator.permutation(8)
    assert np.array_equal(first.rows()[0], x[order[:4], 0])
    assert np.array_equal(noises[0][0], generator.standard_normal((4, 2)))
    assert len(alone.rows()) == 4


def test_the_same_noise_on_all_ranks_is_seen(monkeypatch):
    plant(monkeypatch, shards.Pass, "__init__", "(rank,) if rank else ()", "()")
    first, second = spied(2, numbered(16), batch_size=8)
    assert np.array_equal(first.steps[0][1], second.steps[0][1])


# The history, and who else looks on.


@pytest.mark.parametrize("size", [2, 4])
def test_the_history_is_of_all_rows_and_the_same_on_all_ranks(size, rng):
    x = binary(rng)
    models = trained(size, x, small_vae, optimizer=SGD(1e-300), validation_data=x[:3])
    histories = [measured(model.history) for model in models]
    assert histories == histories[:1] * size
    model, terms = small_vae(), []  # the parameters do not move, so the parts can be added up
    for rank in range(size):
        rows = piece(23, rank, size)
        key = np.random.SeedSequence([3, 1], spawn_key=(rank,) if rank else ())
        draw = np.random.default_rng(key)
        order = rows.start + draw.permutation(rows.stop - rows.start)
        turns = np.arange(23)[rank::size] // 8  # in which of the three minibatches a turn is
        for step in range(3):
            batch = x[order[turns == step]]
            noise = model.draw_noise(draw, len(batch))
            terms.append(np.stack(model.elbo_terms(model.theta, batch, noise)))
    log_px, kl = np.concatenate(terms, axis=1).mean(axis=1)
    record = histories[0][0]
    assert [record["log_px"], record["kl"]] == pytest.approx([log_px, kl], rel=1e-12)
    assert record["loss"] == pytest.approx(-record["elbo"], rel=1e-12)


def test_a_step_is_one_allreduce(rng):
    job, x = Ranks(2), binary(rng)
    job.run(lambda comm: DataParallel(small_vae(), comm).fit(x, 2, 8, None, x, **QUIET))
    assert job.reduced == [2 * (3 + 1 + 3)] * 2, "steps, the last look at them, validation"


def test_rank_0_alone_shows_the_progress(rng, capsys):
    trained(2, binary(rng), verbose=True)
    assert [line[:9] for line in capsys.readouterr().out.splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_callbacks_may_differ_and_one_wish_ends_all(rng):
    x, seen = binary(rng), []

    def work(comm):
        model = small_vae(beta=2.0)
        best, warm = KeepBest("elbo"), Warmup(4)
        own = [lambda model, record: seen.append(model) or record["epoch"] == 3] * comm.rank
        DataParallel(model, comm).fit(x, 9, 8, callbacks=[best, warm, *own], **QUIET)
        assert model.beta == 2.0
        assert np.array_equal(model.theta, best.theta)
        return model

    models = Ranks(2).run(work)
    assert [model.epochs_trained for model in models] == [3, 3]
    assert seen == [models[1]] * 3, "a callback is given the model itself"


def test_theta_begins_as_that_of_rank_0(rng):
    def work(comm):
        model = small_vae()
        model.theta[:] += comm.rank
        DataParallel(model, comm).fit(binary(np.random.default_rng(0)), 2, 8, **QUIET)
        return model.theta

    first, second = Ranks(2).run(work)
    assert np.array_equal(first, second)


def test_going_on_is_as_never_having_stopped(rng):
    x = binary(rng)

    def work(comm):
        model = small_vae()
        for _ in range(2):
            DataParallel(model, comm).fit(x, 2, 8, **QUIET)
        return model

    for model, expected in zip(Ranks(2).run(work), trained(2, x, epochs=4), strict=True):
        assert np.array_equal(model.theta, expected.theta)


# What goes wrong.


def test_a_missing_broadcast_is_seen_at_the_first_epoch(monkeypatch, rng):
    x = binary(rng)
    plant(monkeypatch, DataParallel, "_begin_alike", "self.comm.Bcast(self.model.theta)", "pass")

    def work(comm):
        model = small_vae()
        model.theta[:] += 1e-12 * comm.rank
        DataParallel(model, comm).fit(x, 2, 8, **QUIET)

    for error in Ranks(2).outcomes(work):
        assert isinstance(error, RanksDifferError)
        assert "in epoch 1 the parameters of rank 1 became different from those of rank 0" in str(
            error
        )


def test_parameters_that_part_end_the_training_with_those_of_the_last_good_epoch(rng):
    x, kept = binary(rng), []

    def part(model, record):
        if record["epoch"] == 2:
            kept.append(model.theta.copy())
            model.theta[0] = np.nextafter(model.theta[0], 9)

    def work(comm):
        model = small_vae()
        with pytest.raises(RanksDifferError, match=r"in epoch 3 .* rank 2 became"):
            DataParallel(model, comm).fit(x, 9, 8, callbacks=[part] * (comm.rank == 2), **QUIET)
        return model

    models = Ranks(4).run(work)
    assert [model.epochs_trained for model in models] == [2] * 4
    assert np.array_equal(models[0].theta, kept[0])


def test_a_rank_that_takes_a_step_less_is_not_met_by_the_others(monkeypatch):
    """The count of steps comes from all rows; from a rank's own it is not the same on all."""
    plant(monkeypatch, DataParallel, "check_data", "(n_rows(data), 1)", "(own_rows(self, data), 1)")

    def own_rows(parallel, data):
        rows = piece(len(data), parallel.comm.rank, parallel.comm.size)
        return rows.stop - rows.start

    monkeypatch.setitem(data_parallel.__dict__, "own_rows", own_rows)
    job = Ranks(2, patience=0.5)
    errors = job.outcomes(lambda comm: DataParallel(small_vae(), comm).fit(
        np.zeros((9, 6)), 1, 4, **QUIET))  # fmt: skip
    assert all(isinstance(error, BaseException) for error in errors), "on MPI they would wait"


def test_an_exception_on_one_rank_ends_the_job(rng, capsys, monkeypatch):
    x, job = binary(rng), Ranks(2)
    monkeypatch.setattr(together, "SECONDS_TO_FORWARD", 0.0)

    def fail(model, record):
        if record["epoch"] == 2:
            raise MemoryError("no room")

    def work(comm):
        model = small_vae()
        DataParallel(model, comm).fit(x, 9, 8, callbacks=[fail] * comm.rank, **QUIET)

    _, error = job.outcomes(work)
    assert isinstance(error, MemoryError)
    assert job.aborted == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "rank 1 of 2 has failed, which ends the job: MemoryError: no room\n" in said


def test_divergence_is_that_of_all_ranks(rng):
    x, job = binary(rng), Ranks(2)

    def work(comm):
        model = small_vae()
        before = model.theta.copy()
        with pytest.raises(DivergenceError, match=r"epoch 1, step 2: the loss is"):
            DataParallel(model, comm).fit(x, 2, 8, Adam(1e300), **QUIET)
        assert np.array_equal(model.theta, before)

    job.run(work)
    assert job.aborted is None


def test_a_signal_on_one_rank_ends_the_training_on_all_after_the_same_step(rng):
    x = binary(rng)

    def work(comm):
        model, asked = small_vae(), []

        def signal():
            asked.append(comm.rank)
            return 15 if comm.rank == 1 and len(asked) == 6 else 0

        with pytest.raises(Interrupted) as end:
            DataParallel(model, comm, signal).fit(x, 9, 8, **QUIET)
        return end.value.code, model.epochs_trained, len(asked)

    assert Ranks(2).run(work) == [(143, 1, 6)] * 2


def test_a_signal_after_the_last_step_is_raised_after_the_training(rng):
    x = binary(rng)

    def work(comm):
        parallel = DataParallel(model := small_vae(), comm)

        class Late:
            def __call__(self, model, record):
                return False

            def finish(self, model):
                parallel._interrupts._handle(15, None)

        with pytest.raises(Interrupted):
            parallel.fit(x, 2, 8, callbacks=[Late()], **QUIET)
        return model.epochs_trained

    assert Ranks(2).run(work) == [2, 2]


@pytest.mark.parametrize(
    ("on_rank_1", "message"),
    [
        ({"batch_size": 7}, "batch_size: 8 on rank 0, 7 on rank 1; expected the same"),
        ({"data": np.zeros((22, 6))}, "rows of data: 23 on rank 0, 22 on rank 1"),
        ({"data": np.eye(23, 6)}, "the first, middle and last row of data: "),
        ({"optimizer": Adam(0.1)}, "optimizer.learning_rate: "),
        ({"epochs": 0}, "on rank 1 of 2: ValueError: epochs must be at least 1, got 0"),
        ({"optimizer": Adam}, r"on rank 1 of 2: TypeError: optimizer must be an object"),
    ],
)
def test_what_is_given_must_be_the_same_on_all_ranks(on_rank_1, message, rng):
    given = {"data": np.zeros((23, 6)), "epochs": 2, "batch_size": 8, **QUIET}
    given |= {"optimizer": Adam()}

    def work(comm):
        DataParallel(small_vae(), comm).fit(**{**given, **(on_rank_1 if comm.rank else {})})

    job = Ranks(2)
    first, second = job.outcomes(work)
    assert isinstance(first, RanksDifferError)
    assert message.replace("\\", "") in str(first)
    assert str(second) in str(first)
    assert job.aborted is None


def test_the_model_must_be_the_same_on_all_ranks(rng):
    x = binary(rng)

    def work(comm):
        DataParallel(small_vae(beta=1.0 + comm.rank), comm).fit(x, 1, 8, **QUIET)

    for error in Ranks(2).outcomes(work):
        assert str(error) == (
            "model.beta: 1.0 on rank 0, 2.0 on rank 1; expected the same on all ranks"
        )


def test_an_entry_that_is_no_data_is_named_by_its_row_among_all(rng):
    x = binary(rng)
    x[20, 3] = np.nan
    first, second = Ranks(2).outcomes(lambda comm: DataParallel(small_vae(), comm).fit(x, **QUIET))
    assert str(second).startswith("x[20, 3] is NaN")
    assert str(first).startswith("on rank 1 of 2: EntryError: x[20, 3] is NaN")


@pytest.mark.parametrize("name", REFUSED)
def test_models_whose_steps_are_no_means_are_refused(name):
    model = next(iter(MODELS[name].examples(Sizes())))
    message = f"{name} cannot be trained on several ranks: {REFUSED[name]}"
    with pytest.raises(TypeError, match=message):
        DataParallel(model, object())


class Summed(VAE):
    """Its loss is a sum over rows, as students write it."""

    def forward(self, params, x, noise):
        loss, terms, cache = super().forward(params, x, noise)
        return len(x) * loss, terms, (len(x), cache)

    def backward(self, params, grads, cache):
        super().backward(params, grads, cache[1])
        for name in self.layout.shapes:
            grads[name] *= cache[0]


class LargestOfRows(Summed):
    """The mean, but for the row with the largest loss, which counts twice."""

    def forward(self, params, x, noise):
        loss, terms, cache = VAE.forward(self, params, x, noise)
        return loss - min(terms["log_px"] - terms["kl"]) / len(x), terms, (1, cache)


@pytest.mark.parametrize("model", [Summed, LargestOfRows])
@pytest.mark.parametrize("options", [{}, {"transform": binarize_pixels}])
def test_a_loss_of_your_own_that_is_no_mean_over_rows_is_refused(model, options, rng):
    x = binary(rng)

    def work(comm):
        DataParallel(model(6, 2, (5,), seed=3), comm).fit(x, 1, 8, **QUIET, **options)

    for error in Ranks(2).outcomes(work):
        assert isinstance(error, TypeError | RanksDifferError)
        assert f"{model.__name__} cannot be trained on several ranks: its loss on" in str(error)


@pytest.mark.parametrize("size", [1, 2])
def test_the_example_shows_what_it_says(size, monkeypatch, capsys):
    example = runpy.run_path(str(EXAMPLE))
    names, local = example["main"].__globals__, threading.local()
    monkeypatch.setitem(names, "world", lambda: local.comm)
    monkeypatch.setitem(names, "range", lambda n: range(n // 20))

    def work(comm):
        local.comm = comm
        example["main"]()

    Ranks(size).run(work)
    out = capsys.readouterr().out
    found = [float(number) for number in re.findall(r" {2,}-?(\d\.?\d*e?[-+]?\d*)", out)]
    weighted, plain, own, same = found[:4]
    assert weighted < 1e-14
    assert (plain > 1e-6) == (size > 1)
    assert own == pytest.approx(same / size, rel=0.5)
    assert out.endswith("theta equal on all ranks: True\n")


def test_the_page_has_the_numbers_that_were_measured():
    script = runpy.run_path(str(DOCS / "measure_scaling.py"))
    record = json.loads((DOCS / "scaling_measured.json").read_text(encoding="utf-8"))
    page = (DOCS / "scaling.md").read_text(encoding="utf-8")
    for table in script["page"](record).split("\n\n"):
        assert table in page, "run python docs/measure_scaling.py --page"
    assert record["parameters"] == script["new_vae"]().layout.size


def test_an_allreduce_sends_and_receives_each_byte_twice_at_most():
    allreduce = runpy.run_path(str(DOCS / "measure_scaling.py"))["allreduce"]
    assert allreduce(1, 1e6, 1.0, 1.0) == 0
    assert allreduce(2, 1e6, 3.0, 1e-3) == pytest.approx(2 * 3 + 1e3)
    assert allreduce(1024, 1e6, 3.0, 1e-3) == pytest.approx(20 * 3 + 2e3, rel=1e-3)
