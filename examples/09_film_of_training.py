"""A film of training: the latent space after epochs 1, 2, 4, 8, ..., as a strip and as a GIF.

Axes, prior draws and grid are the same in each frame, so every movement is learned. Epochs double
from frame to frame, because most is learned early. Watch the codes spread, the classes separate,
and only then the draws from the prior become digits. The orientation of the picture has no meaning:
it could be rotated or mirrored.

    python examples/09_film_of_training.py [folder] [--quick]
"""

import argparse
from pathlib import Path

from numpyvae import VAE, Adam, Binomial, Film
from numpyvae.data import load_digits


def main():
    parser = argparse.ArgumentParser(description="A film of training.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="two epochs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    x_train, _, x_test, y_test = load_digits()
    vae = VAE(64, latent_dim=2, hidden_dims=(128,), likelihood=Binomial(16))
    film = Film(x_test, y_test)
    epochs = 2 if arguments.quick else 256
    vae.fit(
        x_train,
        epochs,
        optimizer=Adam(3e-3),
        validation_data=x_test,
        callbacks=[film],
        verbose=False,
    )
    for record, _ in film.kept:
        print(f"epoch {record['epoch']:3}: test ELBO {record['validation_elbo']:.2f} nats")
    film.strip().savefig(arguments.folder / "example_09_film.png", dpi=150)
    print(f"wrote {arguments.folder / 'example_09_film.png'}")
    film.save(arguments.folder / "example_09_film.gif")
    print(f"wrote {arguments.folder / 'example_09_film.gif'}")


if __name__ == "__main__":
    main()
