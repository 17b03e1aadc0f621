"""Check digits: of payment cards, and of the numbers that states give to people."""

from __future__ import annotations

from collections.abc import Callable


def card(text: bytes) -> bool:
    """Luhn's sum (ISO/IEC 7812): payment cards."""
    digits = _digits(text)[::-1]
    total = sum(digits[::2]) + sum(each * 2 - 9 * (each > 4) for each in digits[1::2])
    return bool(digits) and total % 10 == 0


def cpf(text: bytes) -> bool:
    """Brazil: eleven digits, the last two of which check the others."""
    digits = _digits(text)
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    return all(
        digits[size]
        == sum(each * weight for each, weight in zip(digits, range(size + 1, 1, -1), strict=False)) * 10 % 11 % 10
        for size in (9, 10)
    )


def ssn(text: bytes) -> bool:
    """United States: nine digits, area, group and serial all in use."""
    digits = _digits(text)
    if len(digits) != 9:
        return False
    area, group, serial = (int("".join(map(str, part))) for part in (digits[:3], digits[3:5], digits[5:]))
    return 0 < area < 740 and area != 666 and group > 0 and serial > 0 and digits != list(range(1, 10))


def svnr(text: bytes) -> bool:
    """Austria: ten digits, the fourth of which checks the others."""
    digits = _digits(text)
    if len(digits) != 10:
        return False
    weights = (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)
    return sum(each * weight for each, weight in zip(digits, weights, strict=True)) % 11 == digits[3]


def _digits(text: bytes) -> list[int]:
    return [code - 0x30 for code in text if 0x30 <= code <= 0x39]


CHECKS: dict[str, Callable[[bytes], bool]] = {"verifyCC": card, "verifyCPF": cpf, "verifySSN": ssn, "verifySVNR": svnr}
