"""Switch and roll back a real server, from every direction."""

from tests.support.server import Server

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}


def test_a_change_of_the_file_switches(server: Server) -> None:
    assert server.predict(ROW).json == {"prediction": 1, "model_version": "v1"}

    server.write_state("active: v2\n")
    server.wait_until_live("v2")

    assert server.predict(ROW).json == {"prediction": 2, "model_version": "v2"}


def test_a_post_switches_and_rewrites_the_file(server: Server) -> None:
    answer = server.admin("set-active-version", {"version": "v2"})

    assert answer.status == 200
    assert answer.json["previous"] == "v1"
    assert answer.json["active"] == "v2"
    assert answer.json["written"] is True
    assert answer.json["blob"] == server.blob()
    assert server.state.read_text() == "active: v2\n"
    assert server.predict(ROW).json["model_version"] == "v2"
