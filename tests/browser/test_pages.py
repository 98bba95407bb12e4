"""Pages as their readers meet them: no network, no error, no overflow, every control, and with a screen reader."""

import json
import shutil
import threading
import urllib.error
import urllib.request

import pytest

from circuitmem.report import draw_run_page, draw_validation
from circuitmem.report.watch import RunServer
from circuitmem.study.plots import Bars, HeatMap, Lines, Series, Views

STAGES = [
    {
        "stage": name,
        "referee": "ngspice",
        "about": "made up <b>for</b> a test.",
        "cases": 3,
        "size": [64, 64],
        "worst": worst,
        "bound": 1e-9,
        "pass": good,
        "verdict": "pass" if good else "fail",
        "wall_time_s": 1.0,
        "seconds": {"referee": 2.0, "behavioral": 0.001},
        "near_threshold": 0,
        "replay": {"files": [], "command": "circuitmem validate -o again"},
        "plots": [
            Lines("Residuals", "SPICE (uA)", "relative", (Series("a", [1, 2, 3], [1e-12, 2e-12, 1e-13]),), "y"),
            Bars("Parts", ("one", "two"), "energy (mJ)", {"array": [1.0, 2.0], "converters": [0.5, 0.1]}),
            Views("Worst tile", tuple(HeatMap(f"view {k}", [[k, 1.0], [2.0, 3.0]], "mV") for k in range(4))),
        ],
    }
    for name, worst, good in (("tile linear", 1e-13, True), ("tile </script> odd", None, False))
]


def record():
    stages = [stage | {"plots": [plot.as_dict() for plot in stage["plots"]]} for stage in STAGES]
    speed = [
        {"side": side, "ngspice": side * 1e-2, "direct": side * 1e-3, "behavioral": side * 1e-5} for side in (8, 16)
    ]
    series = (Series("ngspice", [8, 16], [80, 160]),)
    return {
        "stages": stages,
        "referee": "ngspice",
        "between_referees": [],
        "speed": speed,
        "speed_plot": Lines("One read", "side", "ms", series, "xy").as_dict(),
        "baseline": [{"stage": "tile linear", "before": 1e-12, "after": 1e-13, "change": "better"}],
        **dict.fromkeys(("circuitmem", "ngspice", "python", "numpy", "platform", "finished"), "1"),
        "kernels": {"mesh": "compiled"},
        "ngspice_options": {"reads": "reltol=1e-9"},
        "seed": 1,
        "quick": True,
        "wall_time_s": 1.0,
    }


@pytest.fixture(scope="module")
def pages(tmp_path_factory, run_folder):
    folder = tmp_path_factory.mktemp("pages")
    run = shutil.copytree(run_folder, folder / "run")
    return {"validation": draw_validation(record(), folder / "validation")[0], "run": draw_run_page(run)[0]}


@pytest.mark.parametrize("name", ["validation", "run"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_a_page_opens_from_disk_without_network_error_or_overflow(name, width, scheme, pages, reader):
    one = reader(width=width, scheme=scheme)
    page = one.open(pages[name].as_uri())
    one.scroll()
    assert one.errors == []
    assert one.left() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Plots are inside of their frames too.
    outside = "[...document.querySelectorAll('figure')].filter(f => f.scrollWidth > f.clientWidth + 1).map(f => f.id)"
    assert page.evaluate(outside) == []


@pytest.mark.parametrize("name", ["validation", "run"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_has_no_serious_fault_of_accessibility(name, scheme, pages, reader, axe):
    one = reader(scheme=scheme)
    page = one.open(pages[name].as_uri())
    one.scroll()
    page.evaluate(axe)
    faults = page.evaluate("axe.run().then(found => found.violations)")
    serious = [fault for fault in faults if fault["impact"] in ("serious", "critical")]
    assert not serious, json.dumps([(f["id"], [n["html"][:200] for n in f["nodes"][:3]]) for f in serious], indent=1)


@pytest.mark.parametrize("name", ["validation", "run"])
def test_a_page_can_be_read_without_javascript(name, pages, reader):
    page = reader(script=False).open(pages[name].as_uri())
    stills = page.locator("figure .still svg")
    assert stills.count() == page.locator("figure").count() > 2
    assert all(stills.nth(k).is_visible() for k in range(stills.count()))
    assert page.locator(".chooser:visible").count() == 0


def test_every_link_within_a_page_leads_somewhere(pages, reader):
    for path in pages.values():
        page = reader().open(path.as_uri())
        for link in page.locator("a").all():
            target = link.get_attribute("href")
            if target.startswith("#"):
                assert page.locator(f"[id='{target[1:]}']").count() == 1, target
            else:
                assert (path.parent / target).is_file(), target


def test_choosing_shows_another_map_also_by_keyboard(pages, reader):
    one = reader()
    page = one.open(pages["validation"].as_uri())
    one.scroll()
    figure = page.locator("figure:has(select)").first
    shown = "f => JSON.stringify(f.querySelector('.live').data[0].z)"
    before = figure.evaluate(shown)
    figure.locator("select").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("f => f.querySelector('.live').dataset.shown === '1'", arg=figure.element_handle())
    assert figure.evaluate(shown) != before
    assert one.errors == []


def test_choosing_a_tile_changes_all_of_its_maps(pages, reader):
    one = reader()
    page = one.open(pages["run"].as_uri())
    one.scroll()
    choosers = page.locator("select[data-group=tile]")
    assert choosers.count() == 4  # defects, before, after, and what changed
    choosers.first.select_option(index=2)
    assert [choosers.nth(k).evaluate("s => s.selectedIndex") for k in range(4)] == [2] * 4
    chosen = "[...document.querySelectorAll('figure:has(select[data-group=tile]) .live')].map(e => e.dataset.shown)"
    assert page.evaluate(chosen) == ["2"] * 4


def test_hovering_tells_the_value(pages, reader):
    one = reader()
    page = one.open(pages["validation"].as_uri())
    one.scroll()
    page.locator("figure:has(select) .live .nsewdrag").first.hover()
    page.wait_for_selector(".hoverlayer .hovertext")
    assert "mV" in page.locator(".hoverlayer").first.text_content() + " mV".join(
        page.locator(".hovertext").all_text_contents()
    )


def test_a_page_prints_its_stills_on_a4(pages, reader, tmp_path):
    one = reader()
    page = one.open(pages["run"].as_uri())
    one.scroll()
    page.emulate_media(media="print")
    assert page.locator(".live:visible").count() == 0
    assert page.locator(".still:visible").count() == page.locator("figure").count()
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    assert b"/MediaBox [0 0 594" in (tmp_path / "page.pdf").read_bytes()  # 210 mm in points


@pytest.fixture
def served(run_folder, tmp_path):
    """A run that is watched as it was before its last method was finished."""
    folder = shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    finished = (folder / "results.json").rename(tmp_path / "results.json")
    with RunServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server, folder, finished
        server.shutdown()
        thread.join()


def test_a_watched_page_renews_itself_when_the_run_goes_on(served, reader):
    server, folder, finished = served
    one = reader()
    page = one.open(server.url)
    assert "Under way" in page.locator("[role=status]").text_content()
    finished.rename(folder / "results.json")
    page.wait_for_selector("[role=status] >> text=Finished")
    assert one.errors == []
    assert one.left() == []


@pytest.mark.parametrize(
    "path", ["link.txt", "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "figures/", "nope"]
)
def test_only_the_folder_of_the_run_is_served(served, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(served[0].url + path, timeout=10)
    assert refused.value.code == 404
    refused.value.close()
    with urllib.request.urlopen(served[0].url + "config.toml", timeout=10) as answer:
        assert b"seed" in answer.read()


def test_only_this_machine_is_answered(served):
    assert served[0].server_address[0] == "127.0.0.1"
    request = urllib.request.Request(served[0].url + "config.toml", headers={"Host": "example.org"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403
    refused.value.close()
