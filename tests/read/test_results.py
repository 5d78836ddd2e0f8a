"""Results: the lines of a job's result files as numbers. Each file is requested once."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect, gets
from tests.write.test_recovery import told

PLAIN = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,1.5,0.5,,\n2,1.25,0.625,2,0.75\n"
SHOWN = [(1, 1.5, 0.5, None, None), (2, 1.25, 0.625, 2.0, 0.75)]
ALL = (
    "SELECT step, train_loss, train_accuracy, valid_loss, valid_mean_token_accuracy FROM fine_tuning_results('ftjob-a')"
)


def job(sandbox: Sandbox, name: str = "a", content: bytes | None = PLAIN.encode(), **fields: Any) -> str:
    """Return a finished job with one result file, or without."""
    files = [] if content is None else [f"file-{name}"]
    if content is not None:
        sandbox.add_file(id=f"file-{name}", content=content, purpose="fine-tune-results", filename="step_metrics.csv")
    sandbox.add_job(id=f"ftjob-{name}", **{"result_files": files, "created_at": 1_700_000_000 + ord(name), **fields})
    return f"ftjob-{name}"


FORMS = {
    "plain": PLAIN.encode(),
    "base64": base64.b64encode(PLAIN.encode()),
    "base64 in lines": base64.encodebytes(PLAIN.encode()),
    "with a BOM": b"\xef\xbb\xbf" + PLAIN.encode(),
    "base64 with a BOM": base64.b64encode(b"\xef\xbb\xbf" + PLAIN.encode()),
    "CRLF": PLAIN.replace("\n", "\r\n").encode(),
    "without an end": PLAIN.rstrip().encode(),
    "quoted": PLAIN.replace("step,train_loss", '"step", "train_loss"').replace("1.5", '"1.5"').encode(),
    "blank lines": b"\n" + PLAIN.replace("\n", "\n\n").encode(),
    "spaces": PLAIN.replace(",", " , ").encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_file_gives_the_same_rows(sandbox: Sandbox, db: ftsql.Connection, form: str) -> None:
    job(sandbox, content=FORMS[form])
    assert db.execute(ALL).fetchall() == SHOWN


CELLS: dict[str, tuple[object, object]] = {  # a cell of train_loss; the value of the column, the value in raw
    "NaN": (None, "NaN"), "nan": (None, "nan"), "inf": (None, "inf"), "-Infinity": (None, "-Infinity"),
    "": (None, None), "=1+1": (None, "=1+1"), "1e-3": (0.001, 0.001), ".5": (0.5, 0.5), "+2.": (2.0, 2.0),
    "1e999": (None, "1e999"), "1_000": (None, "1_000"), "٣": (None, "٣"), '"1,5"': (None, "1,5"), "7": (7.0, 7),
    "9" * 400: (None, "9" * 400), "true": (None, "true"), "0x10": (None, "0x10"), '"a\nb"': (None, "a\nb"),
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_no_number_is_null_and_stays_in_raw(sandbox: Sandbox, db: ftsql.Connection, cell: str) -> None:
    job(sandbox, content=f"step,train_loss,mine\n1,{cell},x\n".encode())
    ((loss, raw),) = db.execute("SELECT train_loss, raw FROM fine_tuning_results('ftjob-a')").fetchall()
    assert (loss, json.loads(str(raw))) == (CELLS[cell][0], {"step": 1, "train_loss": CELLS[cell][1], "mine": "x"})
    assert type(loss) in (float, type(None))


STEPS = {"3": 3, "3.0": 3, "3.5": None, "1e3": 1000, "99999999999999999999": None, "x": None, "-1": -1}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_a_whole_number_or_null(sandbox: Sandbox, db: ftsql.Connection, step: str) -> None:
    job(sandbox, content=f"step,train_loss\n{step},1\n".encode())
    assert db.execute("SELECT step, train_loss FROM fine_tuning_results('ftjob-a')").fetchall() == [(STEPS[step], 1.0)]


def test_columns_may_lack_or_be_others_or_too_many(sandbox: Sandbox, db: ftsql.Connection) -> None:
    content = b"validation_mean_token_accuracy,reward,id,file_id,fine_tuning_job_id,\n0.5,2,7,8,9,10,11,12\n0.75\n"
    job(sandbox, content=content)
    found = db.execute(
        "SELECT fine_tuning_job_id, file_id, step, valid_mean_token_accuracy, raw ->> 'reward', raw ->> 'id', "
        "raw ->> 'extra', key FROM fine_tuning_results WHERE fine_tuning_job_id = 'ftjob-a'"
    ).fetchall()
    assert found == [
        ("ftjob-a", "file-a", None, 0.5, 2, 7, '["11","12"]', "openai/ftjob-a/file-a:00000001"),
        ("ftjob-a", "file-a", None, 0.75, None, None, None, "openai/ftjob-a/file-a:00000002"),
    ]


NO_CSV = [b"\xff\xfe\x00", b'{"error": "x"}', b"<html></html>", b"name,other\n1,2\n", base64.b64encode(b"no metrics"),
          b'step,train_loss\n1,"2\n', b"step,train_loss\n1," + b"9" * 200_000 + b"\n", b"step\n\x00\n1,2"[:0] + b"x" * 50]  # fmt: skip


@pytest.mark.parametrize("content", NO_CSV, ids=range(len(NO_CSV)))
def test_a_file_that_is_no_csv_of_metrics_is_left_out_with_a_warning_that_names_it(
    sandbox: Sandbox, db: ftsql.Connection, content: bytes
) -> None:
    job(sandbox, content=content)
    with pytest.warns(ftsql.Warning, match=r"the result file file-a of ftjob-a is not a CSV.*file_content\('file-a'\)"):
        assert db.execute(ALL).fetchall() == []


@pytest.mark.long
def test_a_huge_file_is_read_whole_and_in_order(sandbox: Sandbox, db: ftsql.Connection) -> None:
    count = 30_000
    job(sandbox, content=("step,train_loss\n" + "".join(f"{n},{n / 8}\n" for n in range(count))).encode())
    for _ in range(2):
        assert db.execute("SELECT step FROM fine_tuning_results('ftjob-a')").fetchall() == [(n,) for n in range(count)]


def test_without_result_files_there_are_no_rows(sandbox: Sandbox, db: ftsql.Connection) -> None:
    job(sandbox, "a", None)
    job(sandbox, "b", None, status="running")
    job(sandbox, "c", b"")
    sql = "SELECT count(*) FROM fine_tuning_results WHERE fine_tuning_job_id = ?"
    for id in ("ftjob-a", "ftjob-b", "ftjob-c", "ftjob-none", "", None, "a/../b"):
        assert db.execute(sql, (id,)).get == 0
    with pytest.raises(ftsql.Error, match="fine_tuning_results can only be read by fine_tuning_job_id"):
        db.execute("SELECT * FROM fine_tuning_results").fetchall()


def test_a_result_file_that_is_gone_gives_no_rows_and_a_warning(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_job(id="ftjob-a", result_files=["file-gone", "../x", 7, None, {"id": "file-b"}])
    sandbox.add_file(id="file-b", content=PLAIN.encode())
    with told() as lines:
        assert db.execute(ALL).fetchall() == SHOWN
    assert [line.split(" ")[4] for line in lines] == ["file-gone", "../x"]


@pytest.mark.parametrize("id", ["../x", "..", "a/../b", "x?y", "x#y", "%2e%2e"])
def test_a_result_file_of_an_odd_id_is_asked_for_nowhere(sandbox: Sandbox, db: ftsql.Connection, id: str) -> None:
    job(sandbox, result_files=[id, "file-a"])
    join = "SELECT count(*) FROM fine_tuning_jobs j JOIN fine_tuning_results r ON r.fine_tuning_job_id = j.id"
    for sql, listed in ((join, "?limit=100"), ("SELECT count(*) FROM fine_tuning_results('ftjob-a')", None)):
        before = len(sandbox.requests)
        with pytest.warns(ftsql.Warning, match=f"the result file {re.escape(id)} of ftjob-a is gone"):
            assert db.execute(sql).get == len(SHOWN)
        assert gets(sandbox)[before:] == ([listed, "/v1/files/file-a/content"] if listed else [])


def test_an_error_of_the_api_is_an_error(sandbox: Sandbox, db: ftsql.Connection) -> None:
    job(sandbox)
    sandbox.fault(Fault(path="/content", status=403))
    with pytest.raises(ftsql.APIError):
        db.execute(ALL).fetchall()
    assert db.execute(ALL).fetchall() == SHOWN


# SQL; the requests the first time, and the second time
COSTS: dict[str, tuple[list[str], list[str]]] = {
    "SELECT count(*) FROM fine_tuning_results('ftjob-a')": (["/ftjob-a", "a"], []),
    "SELECT count(*) FROM fine_tuning_results WHERE job_id = 'ftjob-a'": (["/ftjob-a", "a"], []),
    "SELECT count(*) FROM fine_tuning_results WHERE key = 'openai/ftjob-a/file-a:00000001'": (["/ftjob-a", "a"], []),
    "SELECT count(*) FROM fine_tuning_results WHERE fine_tuning_job_id IN ('ftjob-a', 'ftjob-b')": (
        ["/ftjob-a", "a", "/ftjob-b", "b"], []),
    "SELECT count(*) FROM fine_tuning_results('[\"ftjob-a\", \"ftjob-b\"]')": (["/ftjob-a", "a", "/ftjob-b", "b"], []),
    "SELECT count(*) FROM fine_tuning_results('ftjob-a') x JOIN fine_tuning_results('ftjob-a') y": (["/ftjob-a", "a"], []),
    "SELECT count(*) FROM fine_tuning_jobs j JOIN fine_tuning_results r ON r.fine_tuning_job_id = j.id": (
        ["?limit=100", "a", "b", "c"], ["?limit=100"]),
    "SELECT count(*) FROM fine_tuning_jobs j, fine_tuning_results(j.id)": (["?limit=100", "a", "b", "c"], ["?limit=100"]),
    "SELECT count(*) FROM fine_tuning_results WHERE fine_tuning_job_id IN (SELECT id FROM fine_tuning_jobs)": (
        ["?limit=100", "a", "b", "c"], ["?limit=100"]),
    "SELECT count(*) FROM fine_tuning_results('ftjob-d')": (["/ftjob-d"], ["/ftjob-d"]),
    "SELECT count(*) FROM fine_tuning_results WHERE fine_tuning_job_id = NULL": ([], []),
    "SELECT count(*) FROM fine_tuning_results('ftjob-a') WHERE provider = 'other'": ([], []),
}  # fmt: skip


@pytest.mark.parametrize("sql", COSTS)
def test_what_is_asked_the_first_time_and_the_second(sandbox: Sandbox, db: ftsql.Connection, sql: str) -> None:
    for name in "abc":
        job(sandbox, name)
    job(sandbox, "d", None, status="running")
    counts = []
    for expected in COSTS[sql]:
        before = len(gets(sandbox))
        counts.append(db.execute(sql).get)
        asked = [path.removeprefix("/v1/files/file-").removesuffix("/content") for path in gets(sandbox)[before:]]
        assert sorted(asked) == sorted(expected)
    assert counts[0] == counts[1]


def test_results_stay_in_the_store_for_the_next_connection(sandbox: Sandbox, connect: Connect, tmp_path: Any) -> None:
    job(sandbox)
    db = connect(store=tmp_path / "store.db")
    assert db.execute(ALL).fetchall() == SHOWN
    db.close()
    before = len(sandbox.requests)
    again = connect(store=tmp_path / "store.db")
    assert again.execute(ALL).fetchall() == SHOWN
    assert len(sandbox.requests) == before
    assert again.ftsql.take_counts().from_store >= 2


def test_two_accounts_never_share_a_result(sandbox: Sandbox, connect: Connect, tmp_path: Any) -> None:
    job(sandbox)
    with Sandbox(jobs=0, speed=0) as other:
        job(other, content=b"step,train_loss\n9,9\n")
        (tmp_path / "more.toml").write_text(f"[second]\nextends = 'openai'\nbase_url = '{other.base_url('openai')}'\n")
        db = connect(providers=["openai", "second"], config=tmp_path / "more.toml", store=tmp_path / "store.db")
        for _ in range(2):
            found = db.execute("SELECT provider, step FROM fine_tuning_results('ftjob-a') ORDER BY 1, 2").fetchall()
            assert found == [("openai", 1), ("openai", 2), ("second", 9)]


def test_nothing_of_it_can_be_written(sandbox: Sandbox, db: ftsql.Connection) -> None:
    for sql in (
        "DELETE FROM fine_tuning_results",
        "INSERT INTO fine_tuning_results (step) VALUES (1)",
        "UPDATE fine_tuning_results SET step = 1",
    ):
        with pytest.raises(Exception, match="may not be modified"):
            db.execute(sql)


LINES = [(1, 0.5, None), (2, 0.25, 0.75)]
OTHER_FORMS = {
    "plain": b"step,train_loss,valid_loss\n1,0.5,\n2,0.25,0.75\n",
    "a JSON text": b'"step,train_loss,valid_loss\\n1,0.5,\\n2,0.25,0.75\\n"',
    "a JSON text of base64": b'"' + base64.b64encode(b"step,train_loss,valid_loss\n1,0.5,\n2,0.25,0.75\n") + b'"',
    "other cases": b"Step,Train_Loss,Valid Loss\n1,0.5,\n2,0.25,0.75\n",
    "semicolons": b"step;train_loss;valid_loss\n1;0.5;\n2;0.25;0.75\n",
    "semicolons and decimal commas": b"step;train_loss;valid_loss\n1;0,5;\n2;0,25;0,75\n",
    "tabs": b"step\ttrain_loss\tvalid_loss\n1\t0.5\t\n2\t0.25\t0.75\n",
    "minus one for no value": b"step,train_loss,valid_loss\n1,0.5,-1\n2,0.25,0.75\n",
    "minus one as a real": b"step,train_loss,valid_loss\n1,0.5,-1.0\n2,0.25,0.75\n",
    "quoted after spaces": b'step, train_loss, valid_loss\n1, "0.5", ""\n"2", "0.25",  "0.75"\n',
    "quoted, with a BOM": b'\xef\xbb\xbf"step", "train_loss", "valid_loss"\r\n"1","0.5",""\r\n2,0.25,0.75\r\n',
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_a_result_file_is_read_in_each_of_its_forms(sandbox: Sandbox, db: ftsql.Connection, form: str) -> None:
    job(sandbox, content=OTHER_FORMS[form])
    for _ in range(2):  # the second time from the store
        assert db.execute("SELECT step, train_loss, valid_loss FROM fine_tuning_results('ftjob-a')").fetchall() == LINES


def test_one_file_of_two_that_is_no_csv_is_left_out_with_a_warning(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_file(id="file-b", content=b"<html>not here</html>", purpose="fine-tune-results")
    job(sandbox, content=OTHER_FORMS["plain"], result_files=["file-b", "file-a"])
    for _ in range(2):
        with pytest.warns(ftsql.Warning, match="the result file file-b of ftjob-a is not a CSV of metrics"):
            found = db.execute("SELECT step, train_loss, valid_loss FROM fine_tuning_results('ftjob-a')").fetchall()
        assert found == LINES


def test_a_join_with_the_results_of_many_jobs_comes_back_to_each(sandbox: Sandbox, db: ftsql.Connection) -> None:
    for number in range(80):
        sandbox.add_file(id=f"file-{number}", content=PLAIN.encode(), purpose="fine-tune-results")
        sandbox.add_job(id=f"ftjob-{number:03}", result_files=[f"file-{number}"], created_at=1_700_000_000 + number)
    joined = (
        "SELECT count(*), count(DISTINCT r.fine_tuning_job_id) FROM fine_tuning_jobs j JOIN fine_tuning_results r ON "
    )
    assert db.execute(joined + "r.fine_tuning_job_id = j.id").fetchall() == [(160, 80)]
    twice = "(SELECT id FROM fine_tuning_jobs UNION ALL SELECT id FROM fine_tuning_jobs) j"
    sql = f"SELECT count(*) FROM {twice} JOIN fine_tuning_results r ON r.fine_tuning_job_id = j.id"
    assert db.execute(sql).get == 320
    assert sum("content" in request for request in gets(sandbox)) == 80


def test_the_result_file_of_a_job_that_runs_is_read_again(sandbox: Sandbox, db: ftsql.Connection) -> None:
    job(sandbox, status="running", finished_at=None)
    assert db.execute(ALL).fetchall() == SHOWN
    more = PLAIN + "3,1.0,0.75,,\n"
    sandbox.fault(Fault(path="/content$", times=None, body=more.encode(), content_type="application/octet-stream"))
    assert db.execute(ALL).fetchall() == [*SHOWN, (3, 1.0, 0.75, None, None)]
