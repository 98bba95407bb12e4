// Puts an interactive plot over each still picture; without it, or in print, the stills stay.
(function () {
  "use strict";
  if (typeof Plotly === "undefined") return;
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function dress(layout) {
    var dressed = JSON.parse(JSON.stringify(layout));
    dressed.paper_bgcolor = dressed.plot_bgcolor = "rgba(0,0,0,0)";
    dressed.font = { color: colour("--ink") };
    ["xaxis", "yaxis"].forEach(function (axis) {
      dressed[axis].gridcolor = dressed[axis].zerolinecolor = dressed[axis].linecolor = colour("--line");
    });
    return dressed;
  }
  function show(figure, choice) {
    var place = figure.querySelector(".live");
    place.dataset.shown = choice;
    var view = JSON.parse(figure.querySelector("script").textContent)[choice];
    Plotly.react(place, view.traces, dress(view.layout), { responsive: true, displaylogo: false });
  }
  var figures = Array.prototype.slice.call(document.querySelectorAll("figure[data-live]"));
  var seen = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (!entry.isIntersecting) return;
      seen.unobserve(entry.target);
      entry.target.querySelector(".live").hidden = false;
      entry.target.querySelector(".still").style.display = "none";
      show(entry.target, 0);
    });
  }, { rootMargin: "400px" });
  figures.forEach(function (figure) {
    var chooser = figure.querySelector("select");
    if (chooser) {
      chooser.closest(".chooser").hidden = false;
      chooser.addEventListener("change", function () { show(figure, chooser.selectedIndex); });
    }
    seen.observe(figure);
  });
  dark.addEventListener("change", function () {
    figures.forEach(function (figure) {
      var place = figure.querySelector(".live");
      if (place.dataset.shown) show(figure, Number(place.dataset.shown));
    });
  });
})();
