"""What a request brings: one image, or files and zips of images."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from horovod_ocr.serve.archives import Archive, is_zip, open_archive
from horovod_ocr.serve.bodies import Body, NamedFile, read_form, too_many_files
from horovod_ocr.serve.failures import ApiError, too_large
from horovod_ocr.serve.settings import ServeSettings

FORM = "multipart/form-data"
ZIPS = ("application/zip", "application/x-zip-compressed")


async def image_of(body: Body, settings: ServeSettings) -> bytes:
    """The only image of a request. ApiError if it has none, or more."""
    kind = body.media_type
    if kind.startswith("image/") or kind == "application/octet-stream":
        content = await body.read(settings.max_bytes, "--max-bytes", settings.body_timeout_s)
    elif kind == FORM:
        files = await read_form(body, "image", settings)
        if len(files) != 1:
            raise ApiError(400, "bad_form", f"the form has {len(files)} files `image`; send one")
        content = _content_of(files[0])
        if len(content) > settings.max_bytes:
            raise too_large("the image", settings.max_bytes, "--max-bytes")
    else:
        raise ApiError(
            415,
            "media_type",
            "send an image as the body with Content-Type image/png or the like, or as field `image` of a form",
        )
    if not content:
        raise ApiError(400, "empty", "the request has no image: its body is empty")
    return content


async def files_of(body: Body, settings: ServeSettings) -> list[NamedFile | Archive]:
    """The files of a request, zips not inflated yet. ApiError if it has none, or too many."""
    kind = body.media_type
    if kind in ZIPS:
        content = await body.read(settings.max_request_bytes, "--max-request-bytes", settings.body_timeout_s)
        if not content:
            raise ApiError(400, "empty", "the request has no images: its body is empty")
        files: list[NamedFile | Archive] = [await asyncio.to_thread(open_archive, content, settings)]
    elif kind == FORM:
        files = [await _opened(file, settings) for file in await read_form(body, "images", settings)]
    else:
        raise ApiError(415, "media_type", "send images as files `images` of a form, or a zip as application/zip")
    count = sum(len(each.entries) if isinstance(each, Archive) else 1 for each in files)
    if not count:
        missing = "its zip has no files" if files else "the form has no file `images`"
        raise ApiError(400, "empty", f"the request has no images: {missing}")
    if count > settings.max_files:
        raise too_many_files(settings.max_files)
    inflated_bytes = sum(each.inflated_bytes for each in files if isinstance(each, Archive))
    if inflated_bytes > settings.max_request_bytes:
        raise too_large("what is in zips", settings.max_request_bytes, "--max-request-bytes")
    body.hold(inflated_bytes)
    return files


async def _opened(file: NamedFile, settings: ServeSettings) -> NamedFile | Archive:
    content = _content_of(file)
    if is_zip(content):
        try:
            return await asyncio.to_thread(open_archive, content, settings)
        except ApiError as error:
            return NamedFile(file.name, error)
    if len(content) > settings.max_bytes:
        return NamedFile(file.name, too_large("the file", settings.max_bytes, "--max-bytes"))
    return file


async def each_file(files: list[NamedFile | Archive]) -> AsyncIterator[NamedFile]:
    """The files, and those of zips, which a thread inflates one at a time."""
    for each in files:
        if isinstance(each, NamedFile):
            yield each
            continue
        contents: Iterator[NamedFile] = each.files()
        while (file := await asyncio.to_thread(next, contents, None)) is not None:
            yield file


def _content_of(file: NamedFile) -> bytes:
    assert isinstance(file.content, bytes), "forms are taken as they are"
    return file.content
