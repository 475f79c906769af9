"""Requests go over real sockets: to a server, and through a proxy."""

import logging
import sys

import pytest

from prefect_dask import Flow
from prefect_dask.tasks.http import HTTPGet, HTTPPost, HTTPRequest, RequestFailed, Response
from prefect_dask.tasks.needs import MissingExtra, MissingValue
from tests.tasks.servers import http_proxy, http_server, unused_port


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with http_server() as server:
        yield server


def run_alone(task, **inputs):
    with Flow("http") as flow:
        done = task(**inputs)
    return flow.run().result[done]


def test_the_text_of_an_answer_is_the_result(server):
    assert run_alone(HTTPGet(f"{server.url}/any")).result == "ok"


def test_an_answer_is_read_as_one_likes(server):
    assert HTTPGet(server.url, read_as="bytes").run() == b"ok"
    assert HTTPGet(f"{server.url}/echo", read_as="json").run()["method"] == "GET"
    response = HTTPGet(server.url, read_as="response").run()
    assert isinstance(response, Response)
    assert (response.status_code, response.text) == (200, "ok")
    assert response.headers["content-length"] == "2"


def test_query_and_headers_come_from_task_and_call(server):
    task = HTTPGet(f"{server.url}/echo", headers={"X-A": "a"}, params={"q": "x y"}, read_as="json")
    came = task.run(headers={"X-B": "b"})
    assert came["query"] == {"q": ["x y"]}
    assert (came["headers"]["X-A"], came["headers"]["X-B"]) == ("a", "b")


def test_a_post_sends_json_a_form_or_bytes(server):
    post = HTTPPost(f"{server.url}/echo", read_as="json")
    assert post.run(json={"a": [1]})["body"] in ('{"a": [1]}', '{"a":[1]}')
    assert post.run(data={"a": "1"})["body"] == "a=1"
    assert post.run(data=b"raw")["body"] == "raw"


def test_other_methods_are_sent_too(server):
    assert HTTPRequest("delete", f"{server.url}/echo", read_as="json").run()["method"] == "DELETE"


def test_an_answer_that_says_it_went_wrong_fails_the_task(server):
    state = run_alone(HTTPGet(f"{server.url}/status/404"))
    assert state.is_failed()
    assert "answered 404 Not Found: the reason why" in state.message
    assert isinstance(state.result, RequestFailed) and state.result.status_code == 404


def test_an_answer_that_says_it_went_wrong_is_one_where_that_is_fine(server):
    task = HTTPGet(f"{server.url}/status/404", raise_for_status=False, read_as="response")
    assert task.run().status_code == 404


def test_it_is_tried_again_as_often_as_the_task_says_and_no_more(server):
    retry = {"max_retries": 2, "retry_delay": 0, "retry_on": RequestFailed}
    assert run_alone(HTTPGet(f"{server.url}/fails/2", **retry)).result == "ok"
    assert len(server.requests) == 3
    server.requests.clear()
    assert run_alone(HTTPGet(f"{server.url}/fails/1")).is_failed()
    assert len(server.requests) == 1


def test_a_server_that_says_nothing_is_not_waited_for(server):
    task = HTTPGet(f"{server.url}/slow", request_timeout_seconds=0.1)
    with pytest.raises(RequestFailed, match=r"timed out: nothing came for 0\.1 s"):
        task.run()


def test_a_server_that_is_not_there_is_named():
    url = f"http://127.0.0.1:{unused_port()}"
    with pytest.raises(RequestFailed, match=rf"GET {url}/x: no answer: ConnectError"):
        HTTPGet(f"{url}/x").run()


@pytest.mark.parametrize("url", ["no url", "http://[", "ftp://example.com/x"])
def test_what_is_no_url_of_http_is_refused(url):
    with pytest.raises(RequestFailed):
        HTTPGet(url).run()


def test_a_task_without_url_says_so():
    with pytest.raises(MissingValue, match="'HTTPGet' has no url"):
        HTTPGet().run()


def test_requests_go_through_the_proxy_that_the_environment_names(server, monkeypatch):
    with http_proxy(server.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert HTTPGet("http://nowhere.invalid/a?b=c").run() == "ok"
    assert proxy.asked == ["GET http://nowhere.invalid/a?b=c"]
    assert server.requests[0].headers["Host"] == "nowhere.invalid"


def test_encrypted_requests_ask_the_proxy_for_a_tunnel(server, monkeypatch):
    with http_proxy(server.url) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(RequestFailed):  # beyond the tunnel is one that does not speak TLS
            HTTPGet("https://nowhere.invalid/a").run()
    assert proxy.asked == ["CONNECT nowhere.invalid:443"]


def test_a_host_that_is_excepted_is_reached_without_proxy(server, monkeypatch):
    with http_proxy(server.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert HTTPGet(server.url).run() == "ok"
    assert not proxy.asked


def test_keys_in_a_url_are_neither_logged_nor_told(server, caplog):
    caplog.set_level(logging.DEBUG)
    host = server.url.removeprefix("http://")
    task = HTTPGet(f"http://me:planted@{host}/status/500?key=planted", params={"more": "planted"})
    state = run_alone(task)
    assert state.is_failed() and "500" in state.message
    assert server.requests
    assert "planted" not in f"{caplog.text} {state.message} {state.result!r}"


def test_the_package_that_is_missing_and_its_extra_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtra, match=r"prefect-dask\[http\]"):
        HTTPGet("http://127.0.0.1").run()
