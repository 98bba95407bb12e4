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
    dressed.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--ink") };
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
      var chooser = entry.target.querySelector("select");
      show(entry.target, chooser ? chooser.selectedIndex : 0);
    });
  }, { rootMargin: "400px" });
  function choose(figure, chooser, choice) {
    chooser.selectedIndex = choice;
    try { sessionStorage.setItem(figure.id, choice); } catch (error) { /* a page from a file may have no storage */ }
    if (figure.querySelector(".live").dataset.shown) show(figure, choice);
  }
  figures.forEach(function (figure) {
    var chooser = figure.querySelector("select");
    if (chooser) {
      chooser.closest(".chooser").hidden = false;
      try {
        var kept = Number(sessionStorage.getItem(figure.id));
        if (kept < chooser.options.length) chooser.selectedIndex = kept;
      } catch (error) { /* as above */ }
      chooser.addEventListener("change", function () {
        var group = chooser.dataset.group;
        figures.forEach(function (other) {
          var its = other.querySelector("select");
          if (other === figure || (its && group && its.dataset.group === group)) choose(other, its, chooser.selectedIndex);
        });
      });
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
