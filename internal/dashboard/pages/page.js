// What pages do besides being read: times in the reader's zone, buttons that copy, and sections that stay up to date.
// Without this script pages show times in UTC and stand still.
"use strict";

const every = 3000; // ms between looks for news
const longest = 120000; // ms between looks, if they fail and the server does not ask for more
const longestUnbroken = 40; // characters of an id in a table that is kept on a line
const longestTimer = 2 ** 31 - 1; // ms; browsers take a longer one for none
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// decorate adds to a part of the page what needs a script.
function decorate(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = local.format(at);
  }
  for (const text of part.querySelectorAll(".copy")) addCopier(text);
}

// addCopier adds a button that copies a text: a sign behind an id that is a link, or stands in a table or a small line, and
// below a heading, whose words it would be part of.
function addCopier(text) {
  const heading = text.closest("h1");
  const isSmall = text.matches("a, td *, th *, .hint span");
  const said = isSmall ? "" : heading !== null ? "Copy id" : "Copy";
  const button = document.createElement("button");
  button.type = "button";
  button.className = isSmall ? "copier small" : "copier";
  button.textContent = said;
  button.setAttribute("aria-label", (said || "Copy") + " " + text.textContent);
  button.addEventListener("click", async () => {
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch { // the browser allows it on secure pages only
      getSelection().selectAllChildren(text);
      done = "Selected";
    }
    button.classList.add("done");
    if (!isSmall) button.textContent = done;
    setTimeout(() => { button.classList.remove("done"); button.textContent = said; }, 2000);
  });
  if (heading !== null && heading.nextElementSibling?.matches("nav")) heading.nextElementSibling.append(button);
  else text.after(button);
  if (text.matches("td *, th *") && text.textContent.length <= longestUnbroken) { // its sign stays behind it
    const both = document.createElement("span");
    both.className = "unbroken";
    text.before(both);
    both.append(text, button);
  }
}

// inUse says that somebody reads or fills in a section so that it must not change under their hands.
function inUse(section) {
  const selection = getSelection();
  return section.contains(document.activeElement) || section.querySelector("details[open]") !== null ||
    (!selection.isCollapsed && section.contains(selection.anchorNode));
}

// pauseAsked is for how long the server asks not to be asked, in ms; 0: it says nothing of that.
function pauseAsked(answer) {
  const text = answer.headers.get("Retry-After");
  if (text === null) return 0;
  const seconds = Number(text);
  const pause = Number.isNaN(seconds) ? Date.parse(text) - Date.now() : seconds * 1000;
  return pause > 0 ? pause : 0; // also of what is no time
}

// say shows a sentence about how up to date the page is; none if it is empty. A link may follow.
function say(sentence, link) {
  const place = document.getElementById("live");
  if (place.dataset.says === sentence) return;
  place.dataset.says = sentence;
  place.replaceChildren(sentence);
  if (link !== undefined) place.append(" ", link);
}

// signIn is the link that leads back to this page.
function signIn() {
  const link = document.createElement("a");
  link.href = "/sign-in?next=" + encodeURIComponent(location.pathname + location.search);
  link.textContent = "Sign in again";
  return link;
}

// live keeps the sections that the server marked as such up to date while the page is seen. It asks less and less often
// while that fails, never before the server wants to be asked, and no more once nobody is signed in.
function live() {
  const shown = new Map(); // id → HTML as the server sent it
  for (const section of document.querySelectorAll("[data-live]")) shown.set(section.id, section.outerHTML);
  if (shown.size === 0) return;
  let timer; // of the next look; undefined: none is planned
  let next = 0; // not before that time
  let failures = 0; // in a row
  let over = false;

  const replace = (page) => {
    for (const [id, before] of shown) {
      const news = page.getElementById(id);
      const section = document.getElementById(id);
      if (news === null || section === null || news.outerHTML === before || inUse(section)) continue;
      shown.set(id, news.outerHTML);
      section.replaceWith(news);
      decorate(news);
    }
  };
  // ask gives the pause until the server may be asked again.
  const ask = async () => {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "Authsync-Look": "1" }, redirect: "error" });
      if (answer.status === 401) {
        over = true;
        say("You are signed out, so this page stays as it is.", signIn());
        return 0;
      }
      if (answer.ok) {
        replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
        failures = 0;
        say("");
        return every;
      }
      failures++;
      return Math.max(pauseAsked(answer), backoff());
    } catch { // the server cannot be reached
      failures++;
      return backoff();
    }
  };
  const backoff = () => {
    if (failures >= 3) say("The server does not answer as it should, so this page may be out of date. It is asked again.");
    return Math.min(every * 2 ** failures, longest);
  };
  const plan = () => {
    if (!document.hidden && !over) timer = setTimeout(look, Math.min(Math.max(next - Date.now(), 0), longestTimer));
  };
  const look = async () => {
    timer = null; // one is under way
    const pause = await ask();
    next = Date.now() + pause;
    timer = undefined;
    plan();
  };
  next = Date.now() + every;
  plan();
  document.addEventListener("visibilitychange", () => {
    if (timer === null) return;
    clearTimeout(timer);
    timer = undefined;
    plan();
  });
}

// The section that the navigation is at may be out of sight on a phone.
const at = document.querySelector(".sections [aria-current]");
if (at !== null) at.parentElement.scrollLeft = at.offsetLeft - at.parentElement.offsetLeft - 16;

live();
decorate(document);
const zone = document.getElementById("zone");
if (zone !== null) {
  zone.textContent = "Times are in your zone, " + Intl.DateTimeFormat().resolvedOptions().timeZone + "; hover over one for the exact instant in UTC.";
}
