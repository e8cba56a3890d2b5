// Tables that are wider than the window scroll; the keyboard must be able to do that, too.
function reachable() {
  for (const region of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) {
    if (region.scrollWidth > region.clientWidth) {
      region.tabIndex = 0;
      region.setAttribute("role", "region");
      region.setAttribute("aria-label", region.tagName === "CODE" ? "Code" : "Table");
    } else if (region.getAttribute("role") === "region") {
      for (const name of ["tabindex", "role", "aria-label"]) region.removeAttribute(name);
    }
  }
}
document$.subscribe(() => setTimeout(reachable));
addEventListener("resize", reachable);
