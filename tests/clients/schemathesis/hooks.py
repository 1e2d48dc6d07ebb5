"""What the description's own formats look like: real ids and SKUs of the org under test, and made-up ones."""

import json
import os
import string

import schemathesis
from hypothesis import strategies as st

known = json.loads(os.environ["KNOWN"])
made_up_ids = st.text(string.ascii_letters + string.digits, min_size=15, max_size=15)

schemathesis.openapi.format("salesforce-id", st.one_of(st.sampled_from(known["ids"]), made_up_ids))
schemathesis.openapi.format("sku", st.one_of(st.sampled_from(known["skus"]), st.text(min_size=1)))
