"""The table of the faces; the first is the default, and of two prefixes that fit a path the longer one is taken."""

from __future__ import annotations

from ftsql.sandbox.anyapi_face import ANYAPI
from ftsql.sandbox.azure_face import AZURE, AZURE_V1
from ftsql.sandbox.litellm_face import LITELLM
from ftsql.sandbox.openai_face import OPENAI
from ftsql.sandbox.portkey_backends import BEDROCK, FIREWORKS, VERTEX
from ftsql.sandbox.portkey_face import PORTKEY
from ftsql.sandbox.telnyx_face import TELNYX

FACES = (OPENAI, AZURE, AZURE_V1, PORTKEY, BEDROCK, VERTEX, FIREWORKS, TELNYX, ANYAPI, LITELLM)
