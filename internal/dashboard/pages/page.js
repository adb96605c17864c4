// What pages do besides being read: times in the reader's zone, buttons that copy, and sections that stay up to date.
// Without this script pages show times in UTC and stand still.
"use strict";

const every = 3000; // ms between looks for news
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// decorate adds to a part of the page what needs a script.
function decorate(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = local.format(at);
  }
  for (const code of part.querySelectorAll("code.copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copier";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy " + code.textContent);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch { // the browser allows it on secure pages only
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    code.after(button);
  }
}

// inUse says that somebody reads or fills in a section so that it must not change under their hands.
function inUse(section) {
  const selection = getSelection();
  return section.contains(document.activeElement) || section.querySelector("details[open]") !== null ||
    (!selection.isCollapsed && section.contains(selection.anchorNode));
}

// live keeps the sections that the server marked as such up to date while the page is seen.
function live() {
  const shown = new Map(); // id → HTML as the server sent it
  for (const section of document.querySelectorAll("[data-live]")) shown.set(section.id, section.outerHTML);
  if (shown.size === 0) return;
  let busy = false;
  const look = async () => {
    if (document.hidden || busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "Authsync-Look": "1" }, redirect: "error" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const [id, before] of shown) {
        const news = page.getElementById(id);
        const section = document.getElementById(id);
        if (news === null || section === null || news.outerHTML === before || inUse(section)) continue;
        shown.set(id, news.outerHTML);
        section.replaceWith(news);
        decorate(news);
      }
    } catch { // the server does not answer, or nobody is signed in any more; the page stays as it is
    } finally {
      busy = false;
    }
  };
  setInterval(look, every);
  document.addEventListener("visibilitychange", look);
}

live();
decorate(document);
const zone = document.getElementById("zone");
if (zone !== null) {
  zone.textContent = "Times are in your zone, " + Intl.DateTimeFormat().resolvedOptions().timeZone + "; hover over one for the exact instant in UTC.";
}
