"""Time filters as BI tools write them, turned into comparisons of Unix seconds, which a live table is asked for.

It only narrows: what is added follows from the filter for every row, NULLs included, and the filter stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ftsql.serve.functions.intervals import DAY, SECOND, interval
from ftsql.serve.text import fold, words
from ftsql.serve.translate.inference import Inference, Tables, type_of, with_type
from ftsql.serve.translate.tree import Node, call, exp, parse
from ftsql.serve.translate.type_names import INTEGERS, NUMBERS, TIMES, UNKNOWN, of_cast

FLIPPED = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE, exp.EQ: exp.EQ}
ZONE = 86_400  # seconds that a zone's clock may be ahead, and more
VOLATILE = ("random", "clock_timestamp", "gen_random_uuid")
AGGREGATES = frozenset(words("count sum avg min max array_agg string_agg bool_and bool_or every json_agg any_value"))
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
class Found:
    """The column of seconds under an expression whose value is never more than ``slack`` seconds later."""

    column: exp.Column
    select: Node | None = None  # the query in whose WHERE it stands, where that is another one
    exact: bool = True  # the expression is that time itself
    slack: int = 0
    number: bool = False  # the expression is seconds, not a time


def push_down(root: Node, inference: Inference) -> None:
    """Add to every WHERE, and to those of the queries below, what follows for columns of seconds."""
    seen: dict[str, int] = {}
    for table in root.find_all(exp.Table):
        seen[table.name] = seen.get(table.name, 0) + 1
    looker = _Looker(inference, {name for name, count in seen.items() if count > 1})
    for where in list(root.find_all(exp.Where)):
        if isinstance(where.parent, exp.Select):
            for conjunct in list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]:
                _filter(conjunct, looker)


def _filter(conjunct: Node, looker: _Looker) -> None:
    """One filter that every row of the result passes."""
    test = conjunct.unnest()
    if isinstance(test, exp.And):
        for part in list(test.flatten()):
            _filter(part, looker)
        return
    for found, kind, bound in looker.tests(test):
        column = found.column.copy()
        seconds = _seconds(bound, found)
        if found.slack:
            seconds = exp.Sub(this=seconds, expression=exp.Literal.number(found.slack))
        if found.exact and not found.slack and found.select is None and type(test) in FLIPPED:
            # The same for every row: the filter need not be computed as well.
            conjunct.replace(exp.Paren(this=kind(this=column, expression=seconds)))
            return
        lower = exp.GT if kind is exp.GT and found.exact and not found.slack else exp.GTE
        if kind in (exp.LT, exp.LTE):
            continue
        narrower = exp.Paren(this=lower(this=column, expression=seconds))
        if found.select is None:
            replaced = conjunct.copy()
            conjunct.replace(exp.Paren(this=exp.And(this=replaced, expression=narrower)))
            return
        _add(found.select, narrower)


def _add(select: Node, test: Node) -> None:
    where = select.args.get("where")
    if where is None:
        select.set("where", exp.Where(this=test))
    else:
        where.set("this", exp.And(this=exp.Paren(this=where.this), expression=test))


def _seconds(bound: Node, found: Found) -> Node:
    if found.number:
        return exp.Paren(this=bound.copy())
    bound = bound.copy()
    return call("pgsql_epoch", bound)


class _Looker:
    """Looks for columns of seconds under expressions."""

    def __init__(self, inference: Inference, shared: set[str]) -> None:
        self._inference = inference
        self._shared = shared

    def tests(self, test: Node) -> list[tuple[Found, type[exp.Binary], Node]]:
        """What a filter says of such columns: the operator, and the bound."""
        sides: list[tuple[Node, type[exp.Binary], Node]]
        if isinstance(test, exp.Between) and not test.args.get("symmetric"):
            sides = [(test.this, exp.GTE, test.args["low"])]
        elif isinstance(test, exp.Binary) and type(test) in FLIPPED:
            sides = [(test.this, type(test), test.expression), (test.expression, FLIPPED[type(test)], test.this)]
        else:
            return []
        made = []
        for side, kind, bound in sides:
            found = self.under(side) if _is_constant(bound) else None
            if found is not None and type_of(bound) in (*(NUMBERS if found.number else TIMES), UNKNOWN, None):
                if found.number and type_of(bound) not in NUMBERS:
                    continue
                made.append((found, kind, _of_type(bound, type_of(side))))
        return made

    def under(self, node: Node) -> Found | None:
        """The column of seconds that ``node`` is the time of."""
        if isinstance(node, exp.Paren):
            return self.under(node.this)
        if isinstance(node, exp.Anonymous):
            return self._function(node)
        if isinstance(node, exp.Cast):
            inner = self.under(node.this)
            to = of_cast(node.args["to"])
            if inner is None or inner.number or to not in TIMES or node.args["to"].expressions:
                return None
            return replace(inner, exact=inner.exact and to != "date")
        if isinstance(node, exp.AtTimeZone):
            inner = self.under(node.this)
            if inner is None or inner.number:
                return None
            utc = isinstance(node.args["zone"], exp.Literal) and node.args["zone"].name.upper() in ("UTC", "GMT")
            return inner if utc else replace(inner, exact=False, slack=inner.slack + ZONE)
        if isinstance(node, (exp.Add, exp.Sub)):
            return self._shifted(node)
        if isinstance(node, exp.Column):
            return self._derived(node)
        return None

    def _function(self, node: exp.Anonymous) -> Found | None:
        arguments = node.expressions
        if node.name == "to_timestamp" and len(arguments) == 1:
            column = arguments[0].unnest()
            if isinstance(column, exp.Column) and type_of(column) in INTEGERS:
                return Found(column)
        if node.name == "date_trunc" and len(arguments) > 1 and isinstance(arguments[0], exp.Literal):
            inner = self.under(arguments[1])
            slack = 0 if len(arguments) == 2 else ZONE
            return replace(inner, exact=False, slack=inner.slack + slack) if inner and not inner.number else None
        if node.name in ("extract", "date_part") and arguments[0].name.lower() == "epoch":
            inner = self.under(arguments[1])
            return replace(inner, number=True) if inner and not inner.number else None
        if node.name == "timezone" and len(arguments) == 2:
            return self.under(exp.AtTimeZone(this=arguments[1], zone=arguments[0]))
        return None

    def _shifted(self, node: exp.Add | exp.Sub) -> Found | None:
        left, right = node.this, node.expression
        if isinstance(node, exp.Add) and _is_epoch(left) and isinstance(right.unnest(), exp.Mul):
            product = right.unnest()
            for column, step in ((product.this, product.expression), (product.expression, product.this)):
                column = column.unnest()
                if isinstance(column, exp.Column) and type_of(column) in INTEGERS and _micros(step) == SECOND:
                    return Found(column)
        inner, later = self.under(left), _micros(right, 1 if isinstance(node, exp.Add) else -1)
        if inner is None or inner.number or later is None:
            return None
        return replace(inner, exact=False, slack=inner.slack + max(0, -(-later // SECOND)))

    def _derived(self, column: exp.Column) -> Found | None:
        """A column of a subquery or CTE, where a filter on it may as well stand inside."""
        origin = self._inference.origin(column)
        if origin is None:
            return None
        select, made = origin
        if select.args.get("limit") or select.args.get("offset") or select.find(exp.Window):
            return None
        if isinstance(select.args.get("distinct"), exp.Distinct) and select.args["distinct"].args.get("on"):
            return None
        holder = select.parent
        recursive = holder is not None and holder.parent is not None and holder.parent.args.get("recursive")
        if isinstance(holder, exp.CTE) and (holder.alias in self._shared or recursive):
            return None
        if not isinstance(holder, (exp.CTE, exp.Subquery)) or made.is_star or not self._is_key(select, made):
            return None
        inner = self.under(made)
        if inner is None:
            return None
        return inner if inner.select is not None else replace(inner, select=select)

    @staticmethod
    def _is_key(select: Node, made: Node) -> bool:
        """Whether dropping rows by ``made`` drops whole groups only."""
        group = select.args.get("group")
        if group is None:
            return not any(one.name in AGGREGATES for one in select.find_all(exp.Anonymous)) and not select.args.get(
                "having"
            )
        places = [one.unalias() for one in select.expressions]
        for key in group.expressions:
            if isinstance(key, exp.Literal) and not key.is_string and 0 < int(key.this) <= len(places):
                key = places[int(key.this) - 1]
            if isinstance(key, exp.Column) and not key.table:
                key = next((one.unalias() for one in select.expressions if one.alias == key.name), key)
            if key == made:
                return True
        return False


def _of_type(bound: Node, type: str | None) -> Node:
    """A string or a parameter is of the other side's type: as a date it has no time of day."""
    if type_of(bound) not in (UNKNOWN, None) or type not in TIMES:
        return bound
    return with_type(exp.Cast(this=bound.copy(), to=exp.DataType.build(type, dialect="postgres")), type)


def _is_constant(node: Node) -> bool:
    return not node.find(exp.Column, exp.Query, exp.Window) and not any(
        one.name in VOLATILE or one.name in AGGREGATES for one in node.find_all(exp.Anonymous)
    )


def _is_epoch(node: Node) -> bool:
    """``timestamp 'epoch'`` or the day it was."""
    node = node.unnest()
    return isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and str(node.this.this).strip() in (
        "epoch", "1970-01-01", "1970-01-01 00:00:00",
    ) and type_of(node) in TIMES  # fmt: skip


def _micros(node: Node, sign: int = 1) -> int | None:
    """The most microseconds that a written interval may be later; a month has 28 to 31 days."""
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
    """Put the view's own text where the view is named, if a filter is there to narrow it."""
    if tuple(name for name, _ in tables.get("jobs", ())) != COLUMNS or "fine_tuning_jobs" not in tables:
        return
    if not root.find(exp.Where) or any(
        fold(cte.alias) in ("jobs", "fine_tuning_jobs") for cte in root.find_all(exp.CTE)
    ):
        return
    for table in list(root.find_all(exp.Table)):
        plain = isinstance(table.this, exp.Identifier) and table.db in ("", "public") and not table.catalog
        if plain and fold(table.name) == "jobs" and not table.args.get("joins"):
            alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier("jobs", quoted=True))
            table.replace(exp.Subquery(this=parse(JOBS), alias=alias))
