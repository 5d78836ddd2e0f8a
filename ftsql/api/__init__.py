"""The APIs over HTTP: providers, accounts, requests with retries and rate limits, and the decoding of responses.

The package may import ``resources``, ``settings``, ``interrupts``, ``data`` and ``errors``. Other packages use
``account`` (Account, accounts), ``provider`` (Provider, load), ``client`` (Client) with ``calls`` (Call) and
``responses`` (Reply), ``upload`` and ``download``, ``pages`` and ``habits`` to read lists, ``request_log`` (RequestLog,
Counts), and ``methods`` for StackQL's names. They import these modules directly: ``transport`` (httpx) and ``methods``
(a TOML file) are slow to load and load only when needed.
"""
