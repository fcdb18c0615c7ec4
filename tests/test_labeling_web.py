"""How the page's server starts, what it says, and what the operator sees."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import httpx
import pytest
from web_people import Invited, raw
from web_site import Site, make_site, running, until

from labeling.agent_status import AgentStatus, write_status
from labeling.store import Store
from labeling.web import WebError, WebSettings, _warnings, links, listen, serve


def test_the_operator_sees_everybody(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=6, answers_wanted=2, n_clips=4, names=("Ann", "Bo", "Idle"), is_drawn=False)
    status = AgentStatus(
        steps=5,
        total_steps=10,
        state="training",
        labels=1,
        total_labels=12,
        process_id=os.getpid(),
        updated_at_utc_ms=1,
        newest_clip=site.clip_ids[1],
    )
    write_status(site.folder / "agent.json", status)
    (site.folder / "curves.json").write_text('{"Return": [[0, 1.5], [5, NaN], [10, 2.5]]}')
    (site.folder / "trouble.txt").write_text("no OpenGL here")
    with running(site, total_labels=12, task="hop") as server:
        ann, bo = person(site, server, "Ann"), person(site, server, "Bo")
        for one, choices in ((ann, ["left", "left", "skip"]), (bo, ["left", "right"])):
            for choice in choices:
                one.answer(one.offers(1)[0]["query_id"], choice)
        with Store(site.store_path) as store:
            store.withdraw("q5", "its clip is damaged")
        found = person(site, server, "Op").get("/api/progress").json()
    people = {one["labeler"]: one for one in found["statistics"]["labelers"]}
    assert {name: one["n_answers"] for name, one in people.items()} == {"Ann": 3, "Bo": 2, "Idle": 0}
    assert people["Ann"]["n_by_choice"] == {"left": 2, "right": 0, "equal": 0, "skip": 1}
    left = people["Ann"]["on_screen"]["left"]
    assert (left["n"], left["of"]) == (2, 2)
    assert people["Ann"]["last_answer_utc_ms"] == 2000
    assert people["Idle"]["last_answer_utc_ms"] is None
    assert found["statistics"]["agreement"]["n_queries"] == 2
    assert found["queue"]["waiting"] == 3  # of 6 one is withdrawn, and two have both their answers
    assert found["withdrawn"] == [{"query_id": "q5", "reason": "its clip is damaged"}]
    assert found["curves"] == {"Return": [[0, 1.5], [10, 2.5]]}
    assert found["video"]["video"] == f"/clips/{site.clip_ids[1]}.webm"
    state = found["state"]
    assert (found["statistics"]["n_answers"], state["total_labels"], state["task"]) == (5, 12, "hop")
    assert state["agent"] == {"steps": 5, "total_steps": 10, "state": "training"}
    assert state["trouble"] == "no OpenGL here"


def test_a_whole_session_leaves_no_token_in_what_the_server_says(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=5, names=("Ann",), is_drawn=False)
    with running(site) as server:
        ann = person(site, server, "Ann")
        for offer in ann.offers(3):
            ann.answer(offer["query_id"])
        ann.get("/progress")
        httpx.get(server.link("wrong-token-of-somebody"))
        assert raw(server, b"GET /join?token=%s\r\n\r\n" % site.tokens["Ann"].encode()).startswith(b"HTTP/1.1 400")
        ann.client.close()
    everything = "".join(server.said) + site.store_path.read_bytes().decode("latin-1")
    for token in (*site.tokens.values(), "wrong-token-of-somebody"):
        assert token not in everything
    assert "Traceback" not in everything


def test_it_listens_on_ipv6_too(tmp_path: Path, person: Invited) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    site = make_site(tmp_path, n_queries=1, names=("Ann",), is_drawn=False)
    with running(site, host="::1") as server:
        assert server.origin.startswith("http://[::1]:")
        assert person(site, server, "Ann").get("/api/state").status_code == 200


def test_a_taken_port_and_a_foreign_host_are_one_clear_line(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WebError, match=rf"port {port}: the port is taken; .* choose another with --port"):
            listen("127.0.0.1", port)
    with pytest.raises(WebError, match="this machine has no such address"):
        listen("192.0.2.1", 8765)  # kept for documentation, so nobody's
    for host in ("no such host", "x" * 300, "", "a..b"):
        if host:
            with pytest.raises(WebError, match="no such host"):
                listen(host, 8765)
    with pytest.raises(WebError, match="expected --port from 0"):
        WebSettings(total_labels=1, port=70_000)
    bad = WebSettings(total_labels=1, port=0, allowed_hosts=("http://x",))
    site = Site(tmp_path)
    with pytest.raises(WebError, match="without port or path"):
        serve(site.store_path, site.pictures, bad, tokens={}, read_status=lambda: None, said=print)
    assert not site.store_path.exists()  # it was said before anything else


def test_links_name_the_host_that_people_use() -> None:
    tokens = {"Ann": "t"}
    assert links(WebSettings(total_labels=1), 8765, tokens) == ["Ann: http://127.0.0.1:8765/join?token=t"]
    assert links(WebSettings(total_labels=1, host="::1"), 80, tokens) == ["Ann: http://[::1]:80/join?token=t"]
    named = WebSettings(total_labels=1, host="0.0.0.0", allowed_hosts=("lab.example",))  # noqa: S104  # what is tested
    assert links(named, 9, tokens) == ["Ann: http://lab.example:9/join?token=t"]
    everywhere = WebSettings(total_labels=1, host="0.0.0.0")  # noqa: S104  # what is tested
    assert links(everywhere, 9, tokens) == [f"Ann: http://{socket.gethostname()}:9/join?token=t"]


def test_behind_a_proxy_the_links_begin_with_its_url_and_the_page_is_answered_under_its_name(tmp_path: Path) -> None:
    url = "https://lab.example"
    for given in (url, f"{url}/"):
        assert links(WebSettings(total_labels=1, public_url=given), 9, {"Ann": "t"}) == [f"Ann: {url}/join?token=t"]
    for bad in (
        "lab.example",
        "https://lab.example/prefrl",
        "ftp://lab.example",
        "https://lab.example?x=1",
        "https://",
    ):
        with pytest.raises(WebError, match=r"expected --public-url to be http:// or https://, .* got '"):
            WebSettings(total_labels=1, public_url=bad)
    site = make_site(tmp_path, n_queries=1, names=("Ann",), is_drawn=False)
    with running(site, public_url=url) as server:
        assert server.said[0] == f"The page is at {server.origin}/, for the proxy at {url}\n"
        until(lambda: any(line.startswith(f"nobody: {url}/join?token=") for line in server.said))
        join = f"{server.origin}/join?token={site.tokens['Ann']}"
        answers = [httpx.get(join, headers={"host": h}) for h in ("lab.example", "evil.example")]
        assert [answer.status_code for answer in answers] == [200, 403]
        assert answers[0].headers["set-cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
    assert not any("plain HTTP" in line for line in server.said)


@pytest.mark.parametrize(
    ("host", "public_url", "words"),
    [
        ("127.0.0.1", "", ""),
        ("127.0.0.1", "https://lab.example", ""),
        ("127.0.0.1", "http://localhost:9000", ""),  # the near end of a tunnel
        ("127.0.0.1", "http://lab.example", "These links are plain HTTP"),
        ("192.0.2.1", "", "These links are plain HTTP"),
        ("192.0.2.1", "https://lab.example", "From the proxy to this page all is plain HTTP"),
    ],
)
def test_what_others_could_read_is_said(host: str, public_url: str, words: str) -> None:
    said = _warnings(WebSettings(total_labels=1, host=host, public_url=public_url))
    assert [words in line for line in said] == ([True] if words else [])


def test_other_interfaces_are_served_with_a_warning_and_by_token(tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=1, names=("Ann",), is_drawn=False)
    with running(site, host="0.0.0.0", allowed_hosts=["lab.example"]) as server:  # noqa: S104  # what is tested
        until(lambda: any("plain HTTP" in line and "ssh -L" in line for line in server.said))
        port = int(re.findall(r":(\d+)", server.said[0])[-1])
        for host, status in (("lab.example", 200), ("evil.example", 403), (f"127.0.0.1:{port}", 200)):
            url = f"http://127.0.0.1:{port}/join?token={site.tokens['Ann']}"
            assert httpx.get(url, headers={"host": host}).status_code == status
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 401
