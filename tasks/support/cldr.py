"""Translation pairs from CLDR: dates, times, amounts, measures, names and lists of them.

A phrase is a function of a locale, so the same phrase in two locales is a pair. All random draws
have fixed seeds: the same release of Babel gives the same pairs everywhere.
"""

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import NamedTuple, Protocol

from babel import Locale, dates, lists, numbers, units

RULES = 1  # to be increased when a change below changes the pairs

# CLDR's narrow, thin and no-break spaces only control line breaks.
SPACES = str.maketrans(dict.fromkeys("\u00a0\u2009\u202f", " "))
EPOCH = date(1900, 1, 1)
DAYS = 73_000  # about two centuries

MEASURES = """
area-acre area-hectare area-square-foot area-square-kilometer area-square-meter area-square-mile
digital-bit digital-byte digital-gigabyte digital-kilobyte digital-megabyte digital-terabyte
electric-ampere electric-ohm electric-volt energy-calorie energy-joule energy-kilowatt-hour
frequency-gigahertz frequency-hertz frequency-kilohertz frequency-megahertz
length-centimeter length-foot length-inch length-kilometer length-light-year length-meter
length-mile length-millimeter length-nautical-mile length-yard
mass-carat mass-gram mass-kilogram mass-milligram mass-ounce mass-pound mass-tonne
power-horsepower power-kilowatt power-megawatt power-watt pressure-bar pressure-pascal
speed-kilometer-per-hour speed-knot speed-meter-per-second speed-mile-per-hour
temperature-celsius temperature-fahrenheit temperature-kelvin angle-degree angle-radian
volume-cubic-meter volume-gallon volume-liter volume-milliliter volume-pint volume-teaspoon
""".split()
SPANS = [f"duration-{unit}" for unit in "year month week day hour minute second".split()]
CURRENCIES = (
    "AUD BRL CAD CHF CNY CZK DKK EGP EUR GBP HUF INR JPY KRW MXN NOK NZD PLN RUB SEK THB TRY "
    "UAH USD ZAR"
).split()
TABLES = ("territories", "languages", "currencies", "scripts")


class Phrase(Protocol):
    """A phrase that can be written in any locale."""

    def __call__(self, locale: Locale) -> str:
        """Returns the phrase in the locale's language."""


class Name(NamedTuple):
    """The name of a code in one of a locale's tables, such as territory `JP`."""

    table: str
    code: str

    def __call__(self, locale: Locale) -> str:
        """Returns the name in that locale's language."""
        return getattr(locale, self.table)[self.code]


class Measure(NamedTuple):
    """A number with a unit, such as 3 `length-mile`."""

    value: float
    unit: str

    def __call__(self, locale: Locale) -> str:
        """Returns the measure in the locale's language; raises KeyError if it has no pattern."""
        for length in ("long", "short"):  # CLDR's long form falls back to the short one
            text = units.format_unit(self.value, self.unit, length, locale=locale)
            if self.unit not in text:  # without a pattern, Babel writes the unit's code
                return text
        raise KeyError(self.unit)


class Listing(NamedTuple):
    """A list of phrases: `a, b, and c`."""

    phrases: tuple[Phrase, ...]
    style: str

    def __call__(self, locale: Locale) -> str:
        """Returns the list in the locale's language."""
        texts = [phrase(locale=locale) for phrase in self.phrases]
        return lists.format_list(texts, self.style, locale)


def pairs(language: str) -> Iterator[tuple[str, str]]:
    """English phrases and their translations; every phrase of either language occurs once.

    Args:
        language: code of a language that CLDR covers, such as `de`.

    Example:
        >>> from itertools import islice
        >>> for english, german in islice(pairs("de"), 2):
        ...     assert english != german and "\u202f" not in english + german
    """
    english, foreign = Locale("en"), Locale(language)
    seen: tuple[set[str], set[str]] = (set(), set())
    for phrase in phrases():
        try:
            pair = verbalized(phrase, english), verbalized(phrase, foreign)
        except KeyError:  # one of the locales lacks a name or pattern
            continue
        if pair[0] not in seen[0] and pair[1] not in seen[1]:
            seen[0].add(pair[0])
            seen[1].add(pair[1])
            yield pair


def verbalized(phrase: Phrase, locale: Locale) -> str:
    """A phrase in the language of a locale, with plain spaces.

    Example:
        >>> verbalized(Measure(2.5, "length-mile"), Locale("fr"))
        '2,5 miles'
    """
    return phrase(locale=locale).translate(SPACES).strip()


def phrases() -> Iterator[Phrase]:
    """All phrases, kind by kind; each kind has its own generator and can change separately."""
    kinds: dict[Callable[[random.Random], Phrase], int] = {
        day: 9000,
        clock_time: 1500,
        moment: 5000,
        interval: 4000,
        distance_in_time: 1500,
        stretch: 4000,
        measure: 8000,
        amount: 8000,
        number: 3000,
        enumeration: 9000,
    }
    yield from names()
    for kind, count in kinds.items():
        chance = random.Random(kind.__name__)
        for _ in range(count):
            yield kind(chance)


def names() -> Iterator[Phrase]:
    """All names of territories, languages, currencies and scripts."""
    english = Locale("en")
    for table in TABLES:
        yield from (Name(table, code) for code in sorted(getattr(english, table)))


def day(chance: random.Random) -> Phrase:
    """A date: `Tuesday, March 4, 2031`."""
    when = EPOCH + timedelta(days=chance.randrange(DAYS))
    form = chance.choice(["full", "full", "long", "medium", "MMMMd", "yMMMM", "yMMMEd", "yQQQQ"])
    if form in ("full", "long", "medium"):
        return partial(dates.format_date, when, form)
    return partial(dates.format_skeleton, form, datetime.combine(when, time()))


def clock_time(chance: random.Random) -> Phrase:
    """A time of day: `5:03 PM`."""
    when = time(chance.randrange(24), chance.randrange(60), chance.randrange(60))
    return partial(dates.format_time, when, chance.choice(["short", "medium"]))


def moment(chance: random.Random) -> Phrase:
    """A date with its time: `Mar 4, 2031, 5:03:10 PM`."""
    seconds = chance.randrange(DAYS * 24 * 3600)
    when = datetime.combine(EPOCH, time()) + timedelta(seconds=seconds)
    return partial(dates.format_datetime, when, chance.choice(["medium", "long", "full"]))


def interval(chance: random.Random) -> Phrase:
    """An interval of dates or times: `Mar 4 - 9, 2031`."""
    start = datetime.combine(EPOCH, time()) + timedelta(minutes=chance.randrange(DAYS * 24 * 60))
    form, longest = chance.choice([("yMMMd", 400 * 1440), ("yMMMEd", 30 * 1440), ("Hm", 1000)])
    end = start + timedelta(minutes=chance.randrange(1, longest))
    return partial(dates.format_interval, start, end, form)


def distance_in_time(chance: random.Random) -> Phrase:
    """A time relative to now, or its length: `in 3 hours`, `5 weeks ago`, `2 days`."""
    unit = chance.choice(["seconds", "minutes", "hours", "days", "weeks"])
    delta = timedelta(**{unit: chance.choice([-1, 1]) * chance.randrange(1, 200)})
    with_direction = chance.choice([True, True, False])
    return partial(dates.format_timedelta, delta, threshold=20, add_direction=with_direction)


def stretch(chance: random.Random) -> Phrase:
    """A duration in two or three units: `3 hours, 20 minutes, and 5 seconds`."""
    first = chance.randrange(len(SPANS) - 1)
    spans = SPANS[first : first + chance.choice([2, 3])]
    return Listing(tuple(Measure(chance.randrange(1, 60), span) for span in spans), "standard")


def measure(chance: random.Random) -> Phrase:
    """A number with a unit: `12.5 kilometers per hour`."""
    return Measure(quantity(chance), chance.choice(MEASURES + SPANS))


def amount(chance: random.Random) -> Phrase:
    """An amount of money, by name or by symbol: `1,234.50 euros`, `$3.00`."""
    form = chance.choice(["name", "name", "standard"])
    currency = chance.choice(CURRENCIES)
    return partial(numbers.format_currency, quantity(chance), currency, format_type=form)


def number(chance: random.Random) -> Phrase:
    """A plain number, a percentage or a rounded large number: `2.3 million`."""
    value = chance.randrange(10 ** chance.randrange(1, 10)) / 100
    large = chance.randrange(10**9, 10**14) / 1000
    return chance.choice(
        [
            partial(numbers.format_decimal, value),
            partial(numbers.format_percent, value / 1000),
            partial(numbers.format_compact_decimal, large, format_type="long", fraction_digits=1),
        ]
    )


def enumeration(chance: random.Random) -> Phrase:
    """A list of two to four names or other phrases: `Chad, Peru, or 3 liters`."""
    table = chance.choice(["territories", "territories", "languages"])
    codes = [code for code in sorted(getattr(Locale("en"), table)) if code.isalpha()]
    named: list[Phrase] = [
        Name(table, code) for code in chance.sample(codes, chance.randrange(2, 5))
    ]
    other = chance.choice([day, measure, amount])(chance)
    members = chance.choice([named, named, [*named[:-1], other]])
    return Listing(tuple(members), chance.choice(["standard", "or"]))


def quantity(chance: random.Random) -> float | int:
    """A whole number below 10, 100, ... or one with a decimal."""
    whole = chance.randrange(1, 10 ** chance.randrange(1, 5))
    return chance.choice([whole, whole, whole / 10])
