"""The exercises of this folder. Change them, add others, and prove that they hold together:

numpyvae exercises lint --exercises FOLDER
"""

from numpyvae.exercises import Exercise, Function, mistakes_in

N, K = 5, 4  # different from each other, so that no mistake looks like another


def places(rng):
    """Where the function is tried: argument -> array, and d of the output if there is a backward.

    The first place is generic, the second is for what that hides: here, logits that overflow.
    """
    here = {
        "logits": rng.standard_normal((N, K)),
        "y": rng.integers(K, size=N),
        "dlosses": rng.standard_normal(N),
    }
    return [here, {**here, "logits": 1000.0 + here["logits"]}]


EXERCISES = [
    Exercise(
        number=1,
        slug="softmax",  # the file is ex1_softmax.py: the text that students get, and the solution
        title="softmax and the cross-entropy",
        # exercises of higher numbers may use its functions: from given import cross_entropy
        functions=[
            # name, arguments, outputs, gradients (none: there is no backward), places, marks of
            # the function and of its backward
            Function("cross_entropy", ("logits", "y"), ("losses",), ("dlogits",), places, (4, 6)),
        ],
        hints={  # three for each function: a question, what to look at, the formula
            "cross_entropy": (
                "What does exp give at 1000? Does adding a number to all logits change anything?",
                "Subtract the largest logit of each row. loss = log sum_k exp(a_k) - a_y.",
                "loss_n = log sum_k exp(a_nk - max_n) + max_n - a_n,y_n.",
            ),
            "cross_entropy_backward": (
                "What is the derivative of log sum_k exp(a_k)? And of a_y?",
                "The first is a softmax; the second is 1 in one column of each row.",
                "dlogits = dlosses (p - one_hot(y)), row by row.",
            ),
        },
        # (name, what stands in the solution, what is written instead, what is wrong, a question)
        mistakes=[
            *mistakes_in(
                "cross_entropy_backward",
                (
                    "label forgotten",
                    "    dlogits[np.arange(len(y)), y] -= 1.0\n",
                    "",
                    "dlogits is the softmax: the 1 of the right class is not subtracted",
                    "Which two terms of the loss contain the logit of the right class?",
                ),
                (
                    "rows not weighted",
                    "return dlosses[:, None] * dlogits",
                    "return dlogits",
                    "dlosses is not used: each row has to be multiplied by its own",
                    "How does the gradient change if one loss counts twice?",
                ),
            ),
        ],
        sizes={"N": N, "K": K},  # factors that have a name: "yours is the right one times 1/N"
    ),
]
