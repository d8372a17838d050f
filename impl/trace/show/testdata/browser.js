// Uses the page as a reader does, and puts what is wrong into its title.
(() => {
  const wrong = [];
  const check = (what, good) => { if (!good) wrong.push(what); };
  const press = key => dispatchEvent(new KeyboardEvent("keydown", {key}));
  const choose = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("change")); };
  const link = text => [...$("details").querySelectorAll("a")].find(a => a.textContent.includes(text));
  try {
    check("every event has a row", rows.length === run.events.length && rows.length > 200);
    const shown = document.querySelectorAll("#canvas g.event[data-event] circle").length;
    check("only the window is drawn", shown > 5 && shown < rows.length / 2);

    const drawn = [...document.querySelectorAll("#canvas g.event")].find(g => run.events[+g.dataset.event].kind === "Recall");
    drawn.querySelector("circle, line").dispatchEvent(new MouseEvent("click", {bubbles: true}));
    const recall = run.events[picked];
    check("a click picks", picked === +drawn.dataset.event);
    check("details", $("details").textContent.includes("RecvRecall") && $("details").textContent.includes(recall.where));
    check("the others are dim", document.querySelectorAll("#canvas .event.dim").length > 0);
    link("Recv") ? link("Recv").click() : link("Fault").click();
    check("a link goes to the sender", picked === recall.sent);
    link("alone").click();
    check("one transaction", rows.length > 1 && rows.every(i => run.events[i].txn === recall.txn));
    press("Escape");
    check("Escape", picked === -1 && rows.length === run.events.length);

    choose("object", "1");
    check("one page", rows.length > 20 && rows.every(i => run.events[i].p === 1));
    press("ArrowDown");
    press("ArrowDown");
    press("ArrowUp");
    check("arrow keys", picked === rows[0]);
    choose("object", "");
    const button = [...$("legend").children].find(b => b.textContent.startsWith("Req"));
    button.click();
    check("a kind is hidden", rows.length > 0 && rows.every(i => run.events[i].kind !== "Req"));
    [...$("legend").children].find(b => b.textContent.startsWith("Req")).click();
    check("and shown", rows.length === run.events.length);

    choose("clock", run.events[run.events.length - 50].lc);
    const y = rowY(rowOf[picked]);
    check("go to a clock", y > $("diagram").scrollTop && y < $("diagram").scrollTop + $("diagram").clientHeight);
    choose("colour", "object");
    const point = document.querySelector("#canvas circle");
    check("colours of pages", point.getAttribute("fill").startsWith("light-dark(hsl"));
    $("zoom").value = 4;
    $("zoom").dispatchEvent(new Event("input"));
    check("zoom", rowHeight === 4 && document.querySelectorAll("#canvas text").length === 0);
    point.dispatchEvent(new MouseEvent("mousemove", {bubbles: true}));
    document.querySelector("#canvas circle").dispatchEvent(new MouseEvent("mousemove", {bubbles: true}));
    check("a hint", $("hint").style.display === "block" && $("hint").textContent.includes("clock"));
    const paper = () => getComputedStyle(document.body).backgroundColor, before = paper();
    $("theme").click();
    check("light and dark", paper() !== before);
  } catch (e) {
    wrong.push(e.stack);
  }
  document.title = "wrong: " + wrong.join("; ") + ".";
})();
