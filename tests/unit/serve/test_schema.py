"""The OpenAPI document is true: requests made from it, right and wrong ones, get only answers that it describes.

That right ones are accepted cannot be asked for: no schema can say which bytes are an image.
"""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.unit.serve.pictures import word, zip_of

IMAGES = st.integers(0, 20).map(word)
for kind in ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, IMAGES)
schemathesis.openapi.media_type("application/zip", st.integers(0, 20).map(lambda n: zip_of({"a": word(n), "b": b"x"})))
SOME = settings(max_examples=25, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("kind", ["words", "classes"])
def test_answers_are_as_the_document_says(run_server, package: Path, class_package: Path, kind, mode):
    server = run_server(package if kind == "words" else class_package)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} > {"/v1/read", "/v1/read/batch", "/v1/model"}
    for operation in operations:
        if mode == GenerationMode.NEGATIVE and not operation.query and not operation.body:
            continue  # nothing to do wrong

        @SOME
        @given(operation.as_strategy(generation_mode=mode))
        def check(case):
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
