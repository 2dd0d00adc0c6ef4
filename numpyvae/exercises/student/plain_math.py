r"""TeX and Markdown as plain text for a terminal: \frac{\sigma}{2} becomes σ/2."""

from __future__ import annotations

import re

__all__ = ["plain_math", "plain_text"]

SIGNS = {
    "partial": "∂", "sigma": "σ", "sum": "Σ", "beta": "β", "cdot": "·", "pi": "π", "int": "∫",
    "phi": "φ", "varphi": "φ", "epsilon": "ε", "eta": "η", "alpha": "α", "theta": "θ", "mid": "|",
    "delta": "δ", "nabla": "∇", "prod": "Π", "le": "≤", "ge": "≥", "geq": "≥", "ne": "≠",
    "gt": ">", "lt": "<", "approx": "≈", "infty": "∞", "to": "→", "Rightarrow": "⇒",
    "Longrightarrow": "⇒", "lVert": "‖", "rVert": "‖", "Vert": "‖", "lvert": "|", "rvert": "|",
    "parallel": "‖", "star": "*", "top": "T", "ldots": "...", "quad": " ",
    "left": "", "right": "", "Big": "", "big": "", "mathrel": "",
}  # fmt: skip
FONTS = "mathrm", "mathtt", "mathbb", "mathcal", "text", "hat", "underbrace", "tilde"
RAISED = str.maketrans("0123456789-+nTt", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿᵀᵗ")
GROUP = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
SIMPLE = re.compile(r"\d+|(?:∂|[^\W\d])[\w.^\u0302]*(\{[^{}]*\})?(\^\w)?|\([^()]*\)")


def plain_math(tex: str) -> str:
    """A formula in Unicode, its lines as TeX breaks them."""
    tex = re.sub(r"\\qquad|\\\\(\[\w+\])?", "\n", re.sub(r"\s*\n\s*", " ", tex))
    tex = re.sub(r"\\partial(\\,|\s)*", "∂", tex)
    tex = re.sub(r"\\(begin|end)\{\w+\}|&", "", tex).replace(r"\_", "_")
    tex = (
        re.sub(r"\\[,;:!> ]", " ", tex).replace(r"\{", "⦃").replace(r"\}", "⦄").replace(r"\|", "‖")
    )
    before = ""
    while before != tex:
        before = tex
        tex = re.sub(rf"\\underbrace{GROUP}_{GROUP}", r"[\1 =: \2]", tex)
        tex = re.sub(rf"\\hat\s*(?:{GROUP}|(\w))", lambda m: (m[1] or m[2]) + "\u0302", tex)
        tex = re.sub(rf"\\(?:{'|'.join(FONTS)})\s*{GROUP}", r"\1", tex)
        tex = re.sub(rf"\\[td]?frac\s*{GROUP}\s*{GROUP}", _fraction, tex)
        tex = re.sub(r"\\[td]?frac\s*(\w)\s*(\w)", r"\1/\2", tex)
        tex = re.sub(rf"\\sqrt\s*{GROUP}", r"√(\1)", tex)
        tex = re.sub(rf"\\binom\s*{GROUP}\s*{GROUP}", r"(\1 over \2)", tex)
    tex = re.sub(r"\\([A-Za-z]+)", lambda m: SIGNS.get(m[1], m[1]), tex)
    tex = re.sub(rf"\^(?:{GROUP}|(\S))", _power, tex)
    tex = re.sub(rf"_{GROUP}", lambda m: f"_{m[1]}" if m[1].isalnum() else f"_({m[1]})", tex)
    tex = tex.replace("{", "").replace("}", "").replace("⦃", "{").replace("⦄", "}")
    lines = [" ".join(line.split()) for line in tex.split("\n")]
    return "\n".join(line for line in lines if line)


def _fraction(match: re.Match[str]) -> str:
    return "/".join(
        part if _is_simple(part) else f"({part})" for part in map(str.strip, match.groups())
    )


def _is_simple(tex: str) -> bool:
    return bool(SIMPLE.fullmatch(re.sub(r"\\(\w+)", lambda m: SIGNS.get(m[1], m[1]), tex)))


def _power(match: re.Match[str]) -> str:
    exponent = (match[1] or match[2]).strip()
    raised = exponent.translate(RAISED)
    if all(letter in "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿᵀᵗ" for letter in raised):
        return raised
    return f"^{exponent}" if exponent.isalnum() else f"^({exponent})"


def plain_text(markdown: str) -> str:
    """A section as a terminal shows it: formulas and code indented, links without addresses."""
    parts = re.split(r"```(\w*)\n(.*?)```", markdown, flags=re.S)
    said = [_prose(parts[0])]
    for kind, block, prose in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        lines = (plain_math(block) if kind == "math" else block).rstrip().split("\n")
        said += ["".join(f"    {line}".rstrip() + "\n" for line in lines), _prose(prose)]
    return re.sub(r"\n{3,}", "\n\n", "".join(said)).strip("\n") + "\n"


def _prose(text: str) -> str:
    text = re.sub(r"<!-- quoted from (\S+) -->", r"In \1:", text)
    text = re.sub(r"(`[^`]*`)|\[([^\]]*)\]\([^)]*\)", lambda m: m[1] or m[2], text)
    pieces = re.split(r"(`[^`]*`)", text)  # code is left as it is
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(r"\*\*?([^*]+)\*\*?", r"\1", pieces[i])
    text = "".join(pieces).replace("`", "")
    text = re.sub(r"\$([^$]+)\$", lambda m: plain_math(m[1]).replace("\n", " "), text)
    return re.sub(r"^(\|[-|: ]+\|)\n", "", text, flags=re.M)
