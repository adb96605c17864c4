// What forms do besides being sent: times that are picked in the reader's zone, and previews that follow what is typed.
// Without this script times are typed in UTC, and previews are made by their buttons.

const still = 500; // ms without a change before a preview is asked for

// asPicked writes a time as a field of type datetime-local takes it, in the reader's zone.
function asPicked(at) {
  const two = (n) => String(n).padStart(2, "0");
  return String(at.getFullYear()).padStart(4, "0") + "-" + two(at.getMonth() + 1) + "-" + two(at.getDate()) +
    "T" + two(at.getHours()) + ":" + two(at.getMinutes()) + ":" + two(at.getSeconds());
}

// asSent writes a time as addresses and forms have it, in UTC and without fractions of a second.
function asSent(at) { return at.toISOString().replace(/\.\d+Z$/, "Z"); }

// addPicker has a time be picked in the reader's zone in place of being typed in UTC. What is sent stays in UTC, so that
// an address says the same to everybody. A text that is no time stays as it is, to be corrected.
function addPicker(field) {
  const at = new Date(field.value);
  if (field.value !== "" && Number.isNaN(at.getTime())) return;
  const picker = document.createElement("input");
  picker.type = "datetime-local";
  picker.step = "1"; // s
  picker.max = "9999-12-31T23:59:59";
  picker.value = field.value === "" ? "" : asPicked(at);
  picker.addEventListener("input", () => {
    const picked = new Date(picker.value);
    field.value = Number.isNaN(picked.getTime()) ? "" : asSent(picked);
  });
  for (const name of ["aria-invalid", "aria-describedby"]) {
    if (field.hasAttribute(name)) picker.setAttribute(name, field.getAttribute(name));
  }
  for (const label of field.labels) label.querySelector(".utc")?.remove();
  picker.id = field.id;
  field.removeAttribute("id");
  field.type = "hidden";
  field.after(picker);
}

// draftOf is what a form has in it for a preview: secrets stay out of it, which none needs.
function draftOf(form, button) {
  const draft = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string" && form.elements.namedItem(name)?.type !== "password") draft.append(name, value);
  }
  draft.append(button.name, button.value);
  return draft;
}

// follow keeps a preview up to date with what is typed into its form: once the typing stops, one request at a time, which
// the next one ends, and none before the server wants to be asked. The button asks at once, without leaving the page.
function follow(button) {
  const form = button.form, needed = document.getElementById(button.dataset.needs);
  const place = document.getElementById(button.dataset.draft), state = document.getElementById(button.dataset.state);
  let timer, asking, shown = "", next = 0, failures = 0, over = false;

  const plan = (pause) => {
    clearTimeout(timer);
    if (!over) timer = setTimeout(preview, Math.min(Math.max(pause, next - Date.now()), longestTimer));
  };
  const fails = (pause) => {
    failures++;
    next = Date.now() + Math.max(pause, Math.min(every * 2 ** failures, longest));
    state.textContent = "The preview could not be made now; it is made again.";
    plan(0);
  };
  const preview = async () => {
    const draft = draftOf(form, button), text = draft.toString();
    if (needed.value.trim() === "" || text === shown) return;
    asking?.abort();
    const mine = asking = new AbortController();
    try {
      const answer = await fetch(form.action, {
        method: "POST", body: draft, headers: { Accept: "text/html", "Authsync-Look": "1" }, redirect: "error", signal: mine.signal,
      });
      if (answer.status === 401) {
        over = true;
        state.replaceChildren("You are signed out. ", signIn());
        return;
      }
      if (answer.status === 429 || answer.status >= 500) return fails(pauseAsked(answer));
      const news = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(place.id);
      if (news === null) {
        state.textContent = "There is no preview any more. Open the page again.";
        return;
      }
      place.replaceChildren(...news.childNodes);
      decorate(place);
      shown = text;
      failures = next = 0;
      state.textContent = "The preview shows what is entered now.";
    } catch {
      if (!mine.signal.aborted) fails(0); // the server cannot be reached
    }
  };
  const changed = () => {
    if (needed.value.trim() === "") return;
    state.textContent = "";
    plan(still);
  };
  form.addEventListener("input", changed);
  button.addEventListener("click", (event) => {
    if (needed.value.trim() === "" || over) return; // the page says what is missing
    event.preventDefault();
    shown = "";
    plan(0);
  });
  form.addEventListener("submit", (event) => {
    if (document.activeElement !== needed) return;
    event.preventDefault(); // Enter presses the form's first button
    button.click();
  });
}

for (const field of document.querySelectorAll("input[data-utc]")) addPicker(field);
for (const button of document.querySelectorAll("button[data-draft]")) follow(button);
for (const preset of document.querySelectorAll("a[data-last]")) {
  preset.addEventListener("click", () => { // the page may have been open for long
    const address = new URL(preset.href);
    address.searchParams.set("since", asSent(new Date(Date.now() - preset.dataset.last * 1000)));
    preset.href = address.href;
  });
}
