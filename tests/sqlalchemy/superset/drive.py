"""Drive Superset in its own venv, which runs this file: databases, datasets, charts, SQL Lab, screenshots."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

PASSWORD = secrets.token_urlsafe(12)
CONFIG = """\
SECRET_KEY = {secret!r}
SQLALCHEMY_DATABASE_URI = "sqlite:///{home}/superset.db?check_same_thread=false"
PREVENT_UNSAFE_DB_CONNECTIONS = False  # which refuses sqlite://; ftsql:// is not refused
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
"""
WEEKLY = {
    "timeGrain": "P1W",
    "columnType": "BASE_AXIS",
    "sqlExpression": "created_at",
    "label": "created_at",
    "expressionType": "SQL",
}
METRICS: list[dict[str, Any]] = [
    {"expressionType": "SQL", "sqlExpression": "count(*)", "label": "jobs"},
    {"expressionType": "SQL", "sqlExpression": "sum(trained_tokens)", "label": "tokens"},
]
# Weeks as in Superset's time grain: from Sunday in SQLite, from Monday in PostgreSQL.
WEEKS = {
    "sqlite": """
SELECT datetime(created_at, 'unixepoch', 'start of day', -strftime('%w', created_at, 'unixepoch') || ' days'), count(*)
FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1
""",
    "postgresql": """
SELECT date(created_at, 'unixepoch', 'weekday 0', '-6 days'), count(*) FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1
""",
}


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(*command: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(url: str, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False).status_code < 500:
                return
        time.sleep(0.5)
    raise SystemExit(f"nothing answers at {url}")


class Superset:
    """A client of Superset's API, logged in as admin."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        login = {"username": "admin", "password": PASSWORD, "provider": "db", "refresh": True}
        token = self.post("/api/v1/security/login", login)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def post(self, path: str, body: object) -> Any:
        return self._answer(self._http.post(path, json=body))

    def put(self, path: str, body: object) -> Any:
        return self._answer(self._http.put(path, json=body))

    def delete(self, path: str) -> Any:
        return self._answer(self._http.delete(path))

    def get(self, path: str) -> Any:
        return self._answer(self._http.get(path))

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        if not response.is_success:
            raise SystemExit(f"{response.request.method} {response.request.url}: {response.text[:2000]}")
        return response.json()


def check(superset: Superset, name: str, uri: str, schema: str, snapshot: Path) -> tuple[int, int]:
    """Compare one database in Superset with the snapshot's own numbers. Return the ids of the dataset and its chart."""
    database = superset.post("/api/v1/database/", {"database_name": name, "sqlalchemy_uri": uri})["id"]
    tables = superset.get(f"/api/v1/database/{database}/tables/?q=(force:!t,schema_name:{schema})")["result"]
    shown = {table["value"] for table in tables}
    assert {"fine_tuning_jobs", "jobs"} <= shown, shown
    dataset = superset.post(
        "/api/v1/dataset/", {"database": database, "schema": schema, "table_name": "fine_tuning_jobs"}
    )["id"]
    columns = superset.get(f"/api/v1/dataset/{dataset}")["result"]["columns"]
    keep = ("id", "column_name", "type", "groupby", "filterable")
    changed = [
        {**{word: column[word] for word in keep}}
        | ({"is_dttm": True, "python_date_format": "epoch_s"} if column["column_name"] == "created_at" else {})
        for column in columns
    ]
    superset.put(f"/api/v1/dataset/{dataset}", {"columns": changed})
    query = {"columns": [WEEKLY], "metrics": METRICS, "orderby": [["created_at", True]], "row_limit": 1000}
    query |= {"filters": [], "extras": {"time_grain_sqla": "P1W"}}
    asked = {"datasource": {"id": dataset, "type": "table"}, "queries": [query], "force": True}
    result = superset.post("/api/v1/chart/data", {**asked, "result_format": "json", "result_type": "full"})["result"][0]
    with contextlib.closing(sqlite3.connect(snapshot)) as plain:
        weeks = plain.execute(WEEKS["postgresql" if uri.startswith("postgresql") else "sqlite"]).fetchall()
        counted = [row["jobs"] for row in result["data"]]
        assert counted == [count for _, count in weeks], (result["query"], counted, weeks)
        sql = "SELECT status, count(*) AS jobs FROM fine_tuning_jobs GROUP BY status ORDER BY status"
        lab = superset.post(
            "/api/v1/sqllab/execute/", {"database_id": database, "sql": sql, "schema": schema, "runAsync": False}
        )
        rows = [(row["status"], row["jobs"]) for row in lab["data"]]
        assert rows == plain.execute(sql).fetchall(), rows
    params = {
        "viz_type": "echarts_timeseries_bar",
        "datasource": f"{dataset}__table",
        "x_axis": "created_at",
        "time_grain_sqla": "P1W",
        "metrics": METRICS[:1],
        "groupby": ["status"],
        "stack": "Stack",
        "row_limit": 10_000,
        "show_legend": True,
    }
    chart = superset.post(
        "/api/v1/chart/",
        {
            "slice_name": f"Jobs a week ({name})",
            "viz_type": params["viz_type"],
            "datasource_id": dataset,
            "datasource_type": "table",
            "params": json.dumps(params),
        },
    )
    print(f"{name}: {len(weeks)} weeks and {len(rows)} statuses are those of the snapshot")
    return int(dataset), int(chart["id"])


def screenshot(url: str, name: str, chart: int, folder: Path) -> None:
    """Take a screenshot of a chart with Chromium."""
    from selenium import webdriver
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for word in (
        "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        f"disable-component-update disable-sync window-size=1500,900 user-data-dir={folder / 'chromium'}"
    ).split():
        options.add_argument(f"--{word}")
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        wait = WebDriverWait(driver, 120)
        for _ in range(5):  # the form may appear before its event handlers
            driver.get(f"{url}/login/")
            wait.until(lambda it: it.find_elements(By.CSS_SELECTOR, "input[name=password], input#password"))
            time.sleep(2)
            for field, text in (("username", "admin"), ("password", PASSWORD)):
                driver.find_element(By.CSS_SELECTOR, f"input[name={field}], input#{field}").send_keys(text)
            driver.find_element(By.CSS_SELECTOR, "button[type=submit], input[type=submit]").click()
            with contextlib.suppress(TimeoutException):
                WebDriverWait(driver, 20).until(lambda it: "/login" not in it.current_url)
                break
        driver.get(f"{url}/explore/?slice_id={chart}")
        wait.until(lambda it: it.find_elements(By.CSS_SELECTOR, ".chart-container canvas"))
        time.sleep(3)  # the bars are animated
        target = folder / f"{name}.png"
        driver.save_screenshot(str(target))
        print(f"{name}: {target}")
    finally:
        driver.quit()


def main(folder: Path) -> None:
    bin = Path(sys.executable).parent
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    snapshot = home / "jobs.db"
    (home / "superset_config.py").write_text(CONFIG.format(secret=secrets.token_urlsafe(42), home=home))
    api, web = _free_port(), _free_port()
    environment = {
        **os.environ,
        "SUPERSET_CONFIG_PATH": str(home / "superset_config.py"),
        "SUPERSET_HOME": str(home),
        "FLASK_APP": "superset",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{api}/v1",
        "OPENAI_API_KEY": "sk-for-the-sandbox",
        "FTSQL_STORE": str(home / "store.db"),
    }
    log = folder / "superset.log"
    with _running(str(bin / "ftsql"), "sandbox", "--port", str(api), environment=environment, log=folder / "api.log"):
        _wait_for(f"http://127.0.0.1:{api}/")
        subprocess.run([bin / "ftsql", "sync", snapshot, "--tables", "jobs"], env=environment, check=True)
        for command in (
            ["db", "upgrade"],
            [
                *"fab create-admin --username admin --firstname a --lastname b --email a@example.com".split(),
                "--password",
                PASSWORD,
            ],
            ["init"],
        ):
            with log.open("ab") as output:
                subprocess.run([bin / "superset", *command], env=environment, check=True, stdout=output, stderr=output)
        serve = (str(bin / "superset"), "run", "-h", "127.0.0.1", "-p", str(web))
        with _running(*serve, environment=environment, log=log):
            url = f"http://127.0.0.1:{web}"
            _wait_for(f"{url}/health")
            superset = Superset(url)
            password, port = secrets.token_urlsafe(12), _free_port()
            served = [str(bin / "ftsql"), "serve", str(snapshot), "--port", str(port)]
            own = {**environment, "FTSQL_SERVE_PASSWORD": password}
            postgres = _running(*served, environment=own, log=folder / "serve.log")
            draws = shutil.which("chromium") and shutil.which("chromedriver")
            with postgres:
                for name, uri, schema in (
                    ("snapshot", f"sqlite:///{snapshot}", "main"),
                    ("live", "ftsql://?max_age=60", "live"),
                    ("serve", f"postgresql+psycopg2://ftsql:{password}@127.0.0.1:{port}/ftsql", "public"),
                ):
                    dataset, chart = check(superset, name, uri, schema, snapshot)
                    if draws:
                        screenshot(url, name, chart, folder)
                    # If Superset's own database is SQLite, it allows one dataset for each table name.
                    superset.delete(f"/api/v1/dataset/{dataset}")
            if not draws:
                print("no chromium and chromedriver: no screenshots")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
