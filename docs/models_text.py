"""The text of docs/models.md; measure_models.py puts the tables in."""

TEXT = """\
# Every model in one table

`python docs/measure_models.py` measures missing rows and writes this page; every run is in
[models_measured.csv](models_measured.csv). The data are the 1437 training and 360 test digits, as
counts 0..16 with a Binomial(16) likelihood. Networks 64-128-L, ReLU, Adam at 3e-3, batches of 128.
Training takes 300 epochs, 200 for discrete codes, and 150 for `SemiSupervisedVAE`, which has 100
labels and alpha = 100. Numbers are means of the seeds 0, 1, 2 ± their standard deviation, in nats
for each test digit.

- **test ELBO**: 20 draws of z. For `ConditionalVAE` it bounds log p(x|y), which is not comparable
  with log p(x), because y is given. For `VectorQuantizedVAE` it is log p(x|z_q) + log p(code).
- **log p**: the [yardstick](yardstick.md), `log_likelihood(..., method="auto")` with 500 samples:
  quadrature for a standard normal prior at L = 2, otherwise importance sampling from refined
  Gaussians; for `SemiSupervisedVAE` importance sampling from the encoder, which is too low. For
  discrete codes there is only the bound.
- **nats of the code**: KL(q(z|x) || p(z)), or -log p(code). `SemiSupervisedVAE` has a code for each
  class, and no such number.
- **seconds**: processor time of training on one thread, on a machine that also did other work.
- **lines** of the model's file, with its documentation.

Look at the spread before the means: at L = 2 the seeds of one model differ by up to 8 nats of test
ELBO. The ELBO is 8 to 30 nats below log p, because the encoder was not trained on these digits. The
models differ more in ELBO than in log p: those without labels by 15 nats in ELBO and 4 in log p at
L = 2, by 7 and 4 at L = 8.

## L = 2

TABLE 2

## L = 8

TABLE 8

`SemiSupervisedVAE` over alpha and over the number of labels, compared with its classifier alone
([every run](semi_supervised_measured.csv), `docs/measure_labels_and_codes.py`). The classes are
right only if alpha is large, and the bound does not show this. With alpha = 100 its error is below
that of the classifier alone, also with 30 labels: 16.0 against 19.4 %.

![Errors and bound of M2](figures/semi_supervised.png)

## Discrete codes

M x K: M codes of a codebook of K entries. The decoder gets 16 numbers, which can take 32^4 or 16^8
values.

TABLE 16

## Without a row

- **Convolutions** are layers, not a model: the VAE's `forward` and `backward` do not change.
  [Example 11](examples.md#11_convolutions) compares them with dense layers on MNIST: trained for
  the same time they are worse.
- **`StructuredGaussian`** is a likelihood of real-valued data. Its density cannot be compared with
  the probabilities of counts here, and it has not been measured on the digits. It is tested on
  [an autoregression](derivations/structured.md#an-autoregression) of known density.
- **Autoencoders** have no prior, so no ELBO, no log p(x) and no KL. Their errors are in
  [the reproductions](reproductions.md), their pictures in [examples](examples.md) 03 to 05.
- **The examples' own models** (two stages, VAE-GAN, a mixture of VAEs) are scripts, shown in
  [examples](examples.md) 08, 13 and 14. A VAE-GAN has no bound.

## Targets

They were set before the measurement, from the results of independent prototypes.

| what | target | measured | verdict |
|---|---|---|---|
TARGETS
| gain of a learned prior in test ELBO, K = 50, L = 8 | at least 2 | GAIN 8 | met |
| the same at L = 2 | none | GAIN 2 | none, as expected |
| error of [`ConditionalVAE.classify`](derivations/conditional.md), L = 2 and 8 | \
at most 3.5 and 1.7 % | 1.6 and 1.3 % | met |
| error of [`SemiSupervisedVAE`](derivations/semi_supervised.md), 100 labels | \
5 to 8 % | 6.8 % | met |
| the same with 30 labels, against the classifier alone | worse | 16.0 %, the classifier 19.4 % | \
**missed**: it is better |
| perplexity of 4 x 32 codes | above 29 | 30.8 to 31.1 | met |
| [rate and distortion](examples.md#12_price_of_information) against the linear decoder's curve | \
above it | below it for beta up to 16 | **missed**: the curve bounds linear decoders only |
| [mutual information gap](examples.md#12_price_of_information) of x and y, two seeds | \
below 0.25 at beta = 1, above 0.4 at 4 | 0.03, 0.14; 0.44, 0.41 | met |
| [digits clustered correctly](examples.md#15_clusters), five seeds | 73 to 89 % | \
75 to 78 % from k-means, 54 to 74 % from the prior's own start | **missed** by the second |
"""
