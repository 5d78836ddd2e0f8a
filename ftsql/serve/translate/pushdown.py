"""Push down time filters in the forms that BI tools write: add comparisons of Unix seconds, which a live table can use.

An added comparison follows from the filter for every row, even for NULLs, so it never changes the result. The filter
itself stays, unless the comparison means the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ftsql.serve.functions.intervals import DAY, SECOND, interval
from ftsql.serve.text import fold, words
from ftsql.serve.translate.inference import Inference, Tables, type_of, with_type
from ftsql.serve.translate.tree import ByClass, Node, call, exp, parse
from ftsql.serve.translate.type_names import INTEGERS, NUMBERS, TIMES, UNKNOWN, of_cast

FLIPPED = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE, exp.EQ: exp.EQ}
ZONE = 86_400  # seconds; no time zone is so far ahead of UTC
VOLATILE = ("random", "clock_timestamp", "gen_random_uuid")
AGGREGATES = frozenset(words("count sum avg min max array_agg string_agg bool_and bool_or every json_agg any_value"))
# The view jobs of data/views.sql, in PostgreSQL's SQL.
JOBS = """
SELECT id, provider, model, status, fine_tuned_model, to_timestamp(created_at) AT TIME ZONE 'UTC' AS created,
  to_timestamp(finished_at) AT TIME ZONE 'UTC' AS finished,
  ((coalesce(finished_at, unixepoch()) - created_at + 3) / 6 / 10.0)::float8 AS minutes, trained_tokens, training_file,
  CASE json_typeof(method) WHEN 'string' THEN method #>> '{}' ELSE method ->> 'type' END AS method,
  CASE json_typeof(error)
    WHEN 'object' THEN coalesce(error ->> 'message', error ->> 'Message', error ->> 'detail', error ->> 'msg',
      error ->> 'description', error ->> 'reason', error ->> 'error', error ->> 'code', error::text)
    WHEN 'array' THEN coalesce(error -> 0 ->> 'message', error -> 0 ->> 'msg', error -> 0 ->> 'detail', error ->> 0)
    ELSE error #>> '{}'
  END AS error_message, metadata
FROM fine_tuning_jobs
"""
COLUMNS = ("id", "provider", "model", "status", "fine_tuned_model", "created", "finished", "minutes", "trained_tokens",
           "training_file", "method", "error_message", "metadata")  # fmt: skip


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column of Unix seconds from which an expression computes a time.

    The computed time is at most ``slack`` seconds later than the time in the column.
    """

    column: exp.Column
    select: Node | None = None  # the subquery or CTE that reads the column, if the filter is not in that query
    exact: bool = True  # the expression is the column's time itself, not truncated or shifted
    slack: int = 0
    number: bool = False  # the expression is a number of seconds, and not a time


def push_down(root: Node, inference: Inference) -> None:
    """Add comparisons of Unix seconds to the filters of a statement, or to the subqueries below them."""
    seen = Counter(table.name for table in root.find_all(exp.Table))
    finder = _Finder(inference, {name for name, count in seen.items() if count > 1})
    for where in list(root.find_all(exp.Where)):
        if isinstance(where.parent, exp.Select):
            for conjunct in list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]:
                _narrow(conjunct, finder)


def _narrow(conjunct: Node, finder: _Finder) -> None:
    """Add comparisons for ``conjunct``, a filter that every row of the result passes."""
    test = conjunct.unnest()
    if isinstance(test, exp.And):
        for part in list(test.flatten()):
            _narrow(part, finder)
        return
    for found, kind, bound in finder.comparisons(test):
        column = found.column.copy()
        seconds = _seconds(bound, found)
        if found.slack:
            seconds = exp.Sub(this=seconds, expression=exp.Literal.number(found.slack))
        is_same_time = found.exact and not found.slack
        if is_same_time and found.select is None and type(test) in FLIPPED:
            # The comparison means the same as the filter, so it takes the filter's place.
            conjunct.replace(exp.Paren(this=kind(this=column, expression=seconds)))
            return
        if kind in (exp.LT, exp.LTE):
            continue  # the column may be much later than the expression, so no bound follows for it
        lower = exp.GT if kind is exp.GT and is_same_time else exp.GTE
        comparison = exp.Paren(this=lower(this=column, expression=seconds))
        if found.select is None:
            conjunct.replace(exp.Paren(this=exp.And(this=conjunct.copy(), expression=comparison)))
            return
        _add_filter(found.select, comparison)


def _add_filter(select: Node, test: Node) -> None:
    where = select.args.get("where")
    if where is None:
        select.set("where", exp.Where(this=test))
    else:
        where.set("this", exp.And(this=exp.Paren(this=where.this), expression=test))


def _seconds(bound: Node, found: TimeColumn) -> Node:
    return exp.Paren(this=bound.copy()) if found.number else call("pgsql_epoch", bound.copy())


class _Finder:
    """Finds columns of Unix seconds in expressions. ``shared`` has the tables that a statement reads more than once."""

    def __init__(self, inference: Inference, shared: set[str]) -> None:
        self._inference = inference
        self._shared = shared
        self._rules: ByClass[Callable[[Any], TimeColumn | None]] = ByClass(
            (exp.Paren, lambda node: self.find(node.this)),
            (exp.Anonymous, self._in_call),
            (exp.Cast, self._in_cast),
            (exp.AtTimeZone, self._in_zone),
            ((exp.Add, exp.Sub), self._in_sum),
            (exp.Column, self._in_derived_table),
        )

    def comparisons(self, test: Node) -> list[tuple[TimeColumn, type[exp.Binary], Node]]:
        """Return the comparisons of columns of Unix seconds in a filter: the column, the operator and the bound."""
        sides: list[tuple[Node, type[exp.Binary], Node]]
        if isinstance(test, exp.Between) and not test.args.get("symmetric"):
            sides = [(test.this, exp.GTE, test.args["low"])]
        elif isinstance(test, exp.Binary) and type(test) in FLIPPED:
            sides = [(test.this, type(test), test.expression), (test.expression, FLIPPED[type(test)], test.this)]
        else:
            return []
        made = []
        for side, kind, bound in sides:
            found = self.find(side) if _is_constant(bound) else None
            if found is not None and type_of(bound) in (NUMBERS if found.number else (*TIMES, UNKNOWN, None)):
                made.append((found, kind, _of_type(bound, type_of(side))))
        return made

    def find(self, node: Node) -> TimeColumn | None:
        """Return the column of Unix seconds from which ``node`` computes a time, or None."""
        rule = self._rules.get(node)
        return rule(node) if rule is not None else None

    def _find_time(self, node: Node) -> TimeColumn | None:
        """Return the result of ``find`` if ``node`` is a time and not a number of seconds, otherwise None."""
        found = self.find(node)
        return found if found is not None and not found.number else None

    def _in_cast(self, node: exp.Cast) -> TimeColumn | None:
        found = self._find_time(node.this)
        to = of_cast(node.args["to"])
        if found is None or to not in TIMES or node.args["to"].expressions:
            return None
        return replace(found, exact=found.exact and to != "date")

    def _in_zone(self, node: exp.AtTimeZone) -> TimeColumn | None:
        found = self._find_time(node.this)
        if found is None:
            return None
        is_utc = isinstance(node.args["zone"], exp.Literal) and node.args["zone"].name.upper() in ("UTC", "GMT")
        return found if is_utc else replace(found, exact=False, slack=found.slack + ZONE)

    def _in_call(self, node: exp.Anonymous) -> TimeColumn | None:
        arguments = node.expressions
        if node.name == "to_timestamp" and len(arguments) == 1:
            column = arguments[0].unnest()
            return TimeColumn(column) if _is_integer_column(column) else None
        if node.name == "date_trunc" and len(arguments) > 1 and isinstance(arguments[0], exp.Literal):
            found = self._find_time(arguments[1])
            slack = 0 if len(arguments) == 2 else ZONE
            return replace(found, exact=False, slack=found.slack + slack) if found else None
        if node.name in ("extract", "date_part") and arguments[0].name.lower() == "epoch":
            found = self._find_time(arguments[1])
            return replace(found, number=True) if found else None
        if node.name == "timezone" and len(arguments) == 2:
            return self.find(exp.AtTimeZone(this=arguments[1], zone=arguments[0]))
        return None

    def _in_sum(self, node: exp.Add | exp.Sub) -> TimeColumn | None:
        left, right = node.this, node.expression
        product = right.unnest()
        if isinstance(node, exp.Add) and _is_epoch(left) and isinstance(product, exp.Mul):
            for side, step in ((product.this, product.expression), (product.expression, product.this)):
                if _is_integer_column(side.unnest()) and _micros(step) == SECOND:
                    return TimeColumn(side.unnest())
        found, later = self._find_time(left), _micros(right, 1 if isinstance(node, exp.Add) else -1)
        if found is None or later is None:
            return None
        return replace(found, exact=False, slack=found.slack + max(0, -(-later // SECOND)))

    def _in_derived_table(self, column: exp.Column) -> TimeColumn | None:
        """Find the column behind a column of a subquery or CTE, if a filter inside it has the same effect."""
        origin = self._inference.origin(column)
        if origin is None:
            return None
        select, made = origin
        if made.is_star or not self._takes_filter(select) or not _is_key(select, made):
            return None
        found = self.find(made)
        return replace(found, select=select) if found is not None and found.select is None else found

    def _takes_filter(self, select: Node) -> bool:
        """Whether a filter can move into a derived table: nothing else may depend on the rows that the filter drops."""
        if select.args.get("limit") or select.args.get("offset") or select.find(exp.Window):
            return False
        if isinstance(select.args.get("distinct"), exp.Distinct) and select.args["distinct"].args.get("on"):
            return False
        holder = select.parent
        if isinstance(holder, exp.CTE):
            is_recursive = holder.parent is not None and holder.parent.args.get("recursive")
            return holder.alias not in self._shared and not is_recursive
        return isinstance(holder, exp.Subquery)


def _is_integer_column(node: Node) -> bool:
    return isinstance(node, exp.Column) and type_of(node) in INTEGERS


def _is_key(select: Node, made: Node) -> bool:
    """Whether a filter on ``made`` keeps or drops all rows of a group together."""
    group = select.args.get("group")
    if group is None:
        has_aggregate = any(one.name in AGGREGATES for one in select.find_all(exp.Anonymous))
        return not has_aggregate and not select.args.get("having")
    outputs = [one.unalias() for one in select.expressions]
    for key in group.expressions:
        if isinstance(key, exp.Literal) and not key.is_string and 0 < int(key.this) <= len(outputs):
            key = outputs[int(key.this) - 1]
        if isinstance(key, exp.Column) and not key.table:
            key = next((one.unalias() for one in select.expressions if one.alias == key.name), key)
        if key == made:
            return True
    return False


def _of_type(bound: Node, type: str | None) -> Node:
    """Return ``bound``, cast to the other side's type if it is a string or a parameter.

    The type matters, because a date has no time of day.
    """
    if type_of(bound) not in (UNKNOWN, None) or type not in TIMES:
        return bound
    return with_type(exp.Cast(this=bound.copy(), to=exp.DataType.build(type, dialect="postgres")), type)


def _is_constant(node: Node) -> bool:
    return not node.find(exp.Column, exp.Query, exp.Window) and not any(
        one.name in VOLATILE or one.name in AGGREGATES for one in node.find_all(exp.Anonymous)
    )


def _is_epoch(node: Node) -> bool:
    """Whether ``node`` is ``timestamp 'epoch'`` or the first day of 1970."""
    node = node.unnest()
    return isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and str(node.this.this).strip() in (
        "epoch", "1970-01-01", "1970-01-01 00:00:00",
    ) and type_of(node) in TIMES  # fmt: skip


def _micros(node: Node, sign: int = 1) -> int | None:
    """Return the maximum shift of an interval literal in microseconds, with 28 to 31 days to a month."""
    node = node.unnest()
    words = ""
    if isinstance(node, exp.Interval) and isinstance(node.this, exp.Literal):
        unit = node.args.get("unit")
        words = f"{node.this.this} {unit.name if unit is not None else ''}"
    elif isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and type_of(node) == "interval":
        words = str(node.this.this)
    if not words:
        return None
    step = interval(words)
    months, days = sign * step.months, sign * step.days
    return (months * (31 if months > 0 else 28) + days) * DAY + sign * step.micros


def expand(root: Node, tables: Tables) -> None:
    """If the statement has a filter, replace the view jobs with its SELECT, so that the filter can be pushed down."""
    is_own_view = tuple(name for name, _ in tables.get("jobs", ())) == COLUMNS and "fine_tuning_jobs" in tables
    if not is_own_view or not root.find(exp.Where):
        return
    if any(fold(cte.alias) in ("jobs", "fine_tuning_jobs") for cte in root.find_all(exp.CTE)):
        return
    for table in list(root.find_all(exp.Table)):
        if _is_jobs(table) and not table.args.get("joins"):
            alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier("jobs", quoted=True))
            table.replace(exp.Subquery(this=parse(JOBS), alias=alias))


def _is_jobs(table: exp.Table) -> bool:
    is_public = isinstance(table.this, exp.Identifier) and table.db in ("", "public") and not table.catalog
    return is_public and fold(table.name) == "jobs"
