# SPDX-License-Identifier: Apache-2.0
"""Which words are numbers: telephone numbers are read digit by digit, or in pairs."""

from __future__ import annotations

from collections.abc import Iterator

# Case-folded, as words are when they are compared. The articles among them (a German "ein", a
# Spanish "una") are left out where telephone numbers are read with another word.
_WORDS = """
    zero oh nought naught one two three four five six seven eight nine ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy
    eighty ninety hundred thousand double triple treble

    null eins zwei zwo drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn
    fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig dreissig vierzig fünfzig sechzig siebzig
    achtzig neunzig hundert tausend

    cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince
    dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro
    veinticinco veintiséis veintisiete veintiocho veintinueve treinta cuarenta cincuenta sesenta
    setenta ochenta noventa cien ciento mil doble

    zéro un une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze
    seize vingt vingts trente quarante cinquante soixante septante huitante octante nonante cent
    cents mille

    due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici
    sedici diciassette diciotto diciannove venti trenta quaranta cinquanta sessanta settanta
    ottanta novanta cento doppio

    um dois duas três quatro meia sete oito dez doze treze quinze dezesseis dezasseis dezessete
    dezassete dezoito dezenove dezanove vinte trinta quarenta cinquenta sessenta setenta oitenta
    cem

    nul een één twee drie vijf zes zeven negen tien twaalf dertien veertien vijftien zestien
    zeventien achttien negentien twintig dertig veertig vijftig zestig zeventig tachtig negentig
    honderd duizend dubbel

    \u3007 零 幺 一 二 两 三 四 五 六 七 八 九 十 百 千 万
"""

_GERMAN_PAIRS = (
    "ein zwei zwo drei vier fünf sechs sieben acht neun",
    "und",
    "zwanzig dreissig vierzig fünfzig sechzig siebzig achtzig neunzig",
)
_DUTCH_TENS = "twintig dertig veertig vijftig zestig zeventig tachtig negentig"
_DUTCH_PAIRS = ("een één vier vijf zes zeven acht negen", "en", _DUTCH_TENS)
_DUTCH_PAIRS_WITH_DOTS = ("twee drie", "ën", _DUTCH_TENS)
_ITALIAN_TENS = "vent{} trent{} quarant{} cinquant{} sessant{} settant{} ottant{} novant{}"
_ITALIAN_UNITS = "{0}due {0}tré {0}quattro {0}cinque {0}sei {0}sette {0}nove uno otto"


def _joined(units: str, joint: str, tens: str) -> Iterator[str]:
    return (f"{unit}{joint}{ten}" for unit in units.split() for ten in tens.split())


def _italian_pairs() -> Iterator[str]:
    for ten in _ITALIAN_TENS.split():
        vowel = "i" if ten.startswith("vent") else "a"
        yield from (ten.format(unit) for unit in _ITALIAN_UNITS.format(vowel).split())


_NUMBERS = frozenset(
    (
        *_WORDS.split(),
        *_joined(*_GERMAN_PAIRS),
        *_joined(*_DUTCH_PAIRS),
        *_joined(*_DUTCH_PAIRS_WITH_DOTS),
        *_italian_pairs(),
    )
)


def is_number(word: str) -> bool:
    """Whether a word, case-folded, is one for a number, or is written with digits of any script.

    Known are the words of English, German, Spanish, French, Italian, Portuguese and Dutch, and
    the ideographs of Chinese and Japanese.
    """
    return word in _NUMBERS or any(map(str.isdigit, word))
