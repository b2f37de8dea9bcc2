// A classic script in the head: the theme is there before the first paint.
"use strict";

(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try {
      const theme = localStorage.getItem("theme");
      return theme === "dark" || theme === "light" ? theme : null;
    } catch {
      return null; // storage is forbidden: the system decides
    }
  }

  function apply() {
    root.dataset.theme = stored() ?? (dark.matches ? "dark" : "light");
    const button = document.getElementById("theme");
    if (button) button.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
    dispatchEvent(new Event("themechange"));
  }

  function toggle() {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    try {
      // The system's own choice is not stored, so that the page follows it again.
      if (next === (dark.matches ? "dark" : "light")) localStorage.removeItem("theme");
      else localStorage.setItem("theme", next);
      apply();
    } catch {
      root.dataset.theme = next;
    }
  }

  dark.addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", toggle);
  });
  apply();
})();
