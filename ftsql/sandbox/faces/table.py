"""The list of all faces. The first face is the default. If two prefixes match a path, the longer one is taken."""

from __future__ import annotations

from ftsql.sandbox.faces.anyapi import ANYAPI
from ftsql.sandbox.faces.azure import AZURE, AZURE_V1
from ftsql.sandbox.faces.litellm import LITELLM
from ftsql.sandbox.faces.openai import OPENAI
from ftsql.sandbox.faces.portkey import PORTKEY
from ftsql.sandbox.faces.portkey_backends import BEDROCK, FIREWORKS, VERTEX
from ftsql.sandbox.faces.telnyx import TELNYX

FACES = (OPENAI, AZURE, AZURE_V1, PORTKEY, BEDROCK, VERTEX, FIREWORKS, TELNYX, ANYAPI, LITELLM)
