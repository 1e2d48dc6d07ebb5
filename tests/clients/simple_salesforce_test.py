"""simple-salesforce against the simulated org: sign in, describe, limits, paged query, Bulk 2.0 query."""

import csv
import io
import json
import os
import sys
import traceback
import urllib.request
from importlib.metadata import version
from urllib.parse import urlsplit, urlunsplit

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)

ORG = json.loads(os.environ["SIMULATED_ORG"])
API = "67.0"


class ToSimulatedOrg(requests.adapters.HTTPAdapter):
    """Sends every host of salesforce.com to the simulated org."""

    def send(self, request, **options):
        org, asked = urlsplit(ORG["base_url"]), urlsplit(request.url)
        request.url = urlunsplit((org.scheme, org.netloc, asked.path, asked.query, ""))
        return super().send(request, **options)


def session():
    """An HTTP session in which the names that the client insists on lead to the simulated org."""
    made = requests.Session()
    for host in ("login", "test", "simulated.my"):
        made.mount(f"https://{host}.salesforce.com", ToSimulatedOrg())
    return made


def sign_in():
    return Salesforce(
        username=ORG["username"], password=ORG["password"], security_token="", version=API, session=session()
    )


def control(method, path, body=None):
    """Asks the org's control page for something."""
    page = urlsplit(ORG["control_page"])
    request = urllib.request.Request(
        f"{page.scheme}://{page.netloc}/api/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {page.fragment}"},
    )
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def signs_in_by_soap_and_is_told_when_the_password_is_wrong():
    org = sign_in().query("SELECT Id FROM Organization")["records"][0]
    assert org["Id"] == ORG["org_id"], org
    try:
        Salesforce(username=ORG["username"], password="wrong", security_token="", session=session())
    except SalesforceAuthenticationFailed as refusal:
        assert "INVALID_LOGIN" in str(refusal)
    else:
        raise AssertionError("a wrong password was accepted")


def signs_in_with_client_credentials():
    salesforce = Salesforce(
        consumer_key=ORG["client_id"],
        consumer_secret=ORG["client_secret"],
        domain="simulated.my",
        version=API,
        session=session(),
    )
    assert salesforce.session_id.split("!")[0] == ORG["org_id"][:15]
    assert salesforce.query("SELECT COUNT() FROM Product2")["totalSize"] == 240


def signs_in_with_a_signed_assertion():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    control("POST", "jwt-keys", {"pem": public.decode()})
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    salesforce = Salesforce(
        username=ORG["username"],
        consumer_key=ORG["client_id"],
        privatekey=private.decode(),
        version=API,
        session=session(),
    )
    assert salesforce.query("SELECT COUNT() FROM Account")["totalSize"] == 320


def describes_objects():
    salesforce = sign_in()
    names = {described["name"] for described in salesforce.describe()["sobjects"]}
    assert {"Account", "Product2", "PricebookEntry"} <= names, names
    fields = {field["name"]: field for field in salesforce.PricebookEntry.describe()["fields"]}
    assert fields["UnitPrice"]["type"] == "currency" and fields["UnitPrice"]["scale"] == 2
    assert fields["Product2Id"]["referenceTo"] == ["Product2"]


def reads_limits_and_usage():
    salesforce = sign_in()
    limits = salesforce.limits()
    assert limits["DailyApiRequests"]["Remaining"] < limits["DailyApiRequests"]["Max"]
    assert salesforce.api_usage["api-usage"].total == limits["DailyApiRequests"]["Max"]


def reads_a_query_page_by_page():
    salesforce = sign_in()
    first = salesforce.query("SELECT Id, Product2.Name FROM PricebookEntry")
    assert (first["totalSize"], first["done"], len(first["records"])) == (4500, False, 2000)
    everything = salesforce.query_all("SELECT Id, Product2.Name FROM PricebookEntry")["records"]
    assert len({record["Id"] for record in everything}) == 4500
    deleted = list(salesforce.query_all_iter("SELECT Id FROM Account", include_deleted=True))
    assert len(deleted) == 320


def reads_single_records_and_says_what_is_missing():
    salesforce = sign_in()
    record = salesforce.query("SELECT Id, Name FROM Account LIMIT 1")["records"][0]
    assert salesforce.Account.get(record["Id"])["Name"] == record["Name"]
    try:
        salesforce.Account.get("001SM0000000000AAA")
    except SalesforceResourceNotFound:
        pass
    else:
        raise AssertionError("a record that is not there was found")


def reads_a_bulk_result_of_several_pages():
    salesforce = sign_in()
    pages = list(
        salesforce.bulk2.PricebookEntry.query(
            "SELECT Id, Name, UnitPrice FROM PricebookEntry", max_records=1000
        )
    )
    assert len(pages) == 5, len(pages)
    ids = [row["Id"] for page in pages for row in csv.DictReader(io.StringIO(page))]
    assert len(ids) == len(set(ids)) == 4500
    everything = salesforce.query_all("SELECT Id FROM PricebookEntry")["records"]
    assert ids == [record["Id"] for record in everything]


def reads_a_bulk_query_all_with_odd_text():
    salesforce = sign_in()
    pages = list(salesforce.bulk2.Product2.query_all("SELECT Id, Name, Description FROM Product2"))
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))]
    assert len(rows) == 240
    assert any("\r\n" in row["Description"] and '"quoted"' in row["Description"] for row in rows)
    assert any("🏠" in row["Name"] for row in rows)


def sees_refusals_as_its_own_exceptions():
    salesforce = sign_in()
    try:
        salesforce.query("SELECT Nope FROM Account")
    except SalesforceMalformedRequest as refusal:
        assert refusal.content[0]["errorCode"] == "INVALID_FIELD", refusal.content
    else:
        raise AssertionError("a field that is not there was found")
    control("POST", "sessions/expire")
    try:
        # The password flow signs in again by itself; a bare session cannot.
        Salesforce(session_id=salesforce.session_id, instance_url=ORG["base_url"], version=API).limits()
    except SalesforceExpiredSession as refusal:
        assert refusal.content[0]["errorCode"] == "INVALID_SESSION_ID"
    else:
        raise AssertionError("an expired session was accepted")


TESTS = [
    signs_in_by_soap_and_is_told_when_the_password_is_wrong,
    signs_in_with_client_credentials,
    signs_in_with_a_signed_assertion,
    describes_objects,
    reads_limits_and_usage,
    reads_a_query_page_by_page,
    reads_single_records_and_says_what_is_missing,
    reads_a_bulk_result_of_several_pages,
    reads_a_bulk_query_all_with_odd_text,
    sees_refusals_as_its_own_exceptions,
]


def main():
    failed = 0
    for test in TESTS:
        try:
            test()
            print(f"ok      {test.__name__}")
        except Exception:  # Whatever goes wrong, the other tests still run.
            failed += 1
            print(f"FAILED  {test.__name__}")
            traceback.print_exc(file=sys.stdout)
    print(f"simple-salesforce {version('simple-salesforce')}: {len(TESTS) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
