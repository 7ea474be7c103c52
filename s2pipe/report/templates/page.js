"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const scenes = JSON.parse(find("#data").textContent).scenes;
  document.documentElement.classList.add("scripted");

  // Tables: a heading that can be sorted becomes a button.
  const sortValue = (row, column, numeric) => {
    const cell = row.cells[column];
    const value = cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
    if (!numeric) return value;
    const number = Number(value);
    return value === "" || Number.isNaN(number) ? -Infinity : number;
  };
  const sortTable = (table, column, heading) => {
    const numeric = heading.dataset.sort === "number";
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    const sign = ascending ? 1 : -1;
    const rows = all("tr", table.tBodies[0]).map((row) => [sortValue(row, column, numeric), row]);
    const compare = numeric ? (a, b) => (a < b ? -1 : a > b ? 1 : 0) : (a, b) => a.localeCompare(b, "en", { numeric: true });
    rows.sort((a, b) => sign * compare(a[0], b[0]));
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    table.tBodies[0].append(...rows.map((pair) => pair[1]));
  };
  all("table").forEach((table) => {
    all("thead th", table).forEach((heading, column) => {
      if (!heading.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => sortTable(table, column, heading));
    });
  });

  // Filters of rows.
  all("[data-filter]").forEach((input) => {
    const table = find(`table[data-name="${input.dataset.filter}"]`);
    const status = find(`[data-count="${input.dataset.filter}"]`);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      let shown = 0;
      all("tr", table.tBodies[0]).forEach((row) => {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      });
      status.textContent = wanted ? ` ${shown} row(s)` : "";
    });
  });
  all("img[data-look]").forEach((image) => {
    image.src = scenes[image.dataset.look].layers[0].data;
  });

  // The map: layers on and off, zoom and moves by changing the view box.
  const map = find("#map");
  if (map) {
    const whole = map.getAttribute("viewBox").split(" ").map(Number);
    let box = whole.slice();
    const show = () => map.setAttribute("viewBox", box.map((value) => value.toFixed(3)).join(" "));
    const zoom = (factor, x = box[0] + box[2] / 2, y = box[1] + box[3] / 2) => {
      const limited = Math.min(Math.max(box[2] * factor, whole[2] / 400), whole[2]) / box[2];
      box = [x - (x - box[0]) * limited, y - (y - box[1]) * limited, box[2] * limited, box[3] * limited];
      if (box[2] >= whole[2]) box = whole.slice();
      show();
    };
    const move = (x, y) => {
      box[0] += x * box[2];
      box[1] += y * box[3];
      show();
    };
    const actions = {
      in: () => zoom(0.6), out: () => zoom(1 / 0.6), left: () => move(-0.2, 0), right: () => move(0.2, 0),
      up: () => move(0, -0.2), down: () => move(0, 0.2), reset: () => { box = whole.slice(); show(); },
    };
    all("[data-zoom]").forEach((button) => button.addEventListener("click", actions[button.dataset.zoom]));
    all("[data-toggle]").forEach((input) => input.addEventListener("change", () => {
      find(`[data-layer="${input.dataset.toggle}"]`).toggleAttribute("hidden", !input.checked);
      find(`[data-layer="${input.dataset.toggle}"]`).style.display = input.checked ? "" : "none";
    }));
    map.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
      event.preventDefault();
      const rectangle = map.getBoundingClientRect();
      zoom(event.deltaY < 0 ? 0.8 : 1.25,
        box[0] + box[2] * (event.clientX - rectangle.left) / rectangle.width,
        box[1] + box[3] * (event.clientY - rectangle.top) / rectangle.height);
    }, { passive: false });
  }

  // Quicklooks: two pictures of a scene over each other, and all of them below.
  const select = find("#scene");
  if (select) {
    const [left, right, slider] = ["#left", "#right", "#slider"].map((name) => find(name));
    const [under, over, divider] = ["#under", "#over", "#divider"].map((name) => find(name));
    const fill = (choice, layers, wanted) => {
      const before = choice.value;
      choice.replaceChildren(...layers.map((layer) => new Option(layer.title, layer.kind)));
      const kinds = layers.map((layer) => layer.kind);
      const kept = kinds.includes(before) ? before : wanted.find((kind) => kinds.includes(kind));
      choice.value = kept === undefined ? kinds[0] : kept;
    };
    const slide = () => {
      over.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
      divider.style.left = `${slider.value}%`;
      const shown = [left, right].map((choice) => choice.selectedOptions[0].text);
      slider.setAttribute("aria-valuetext", `${slider.value} % ${shown[0]}, the rest ${shown[1]}`);
    };
    const compare = () => {
      const scene = scenes[select.value];
      const layer = (choice) => scene.layers.find((found) => found.kind === choice.value);
      [[over, layer(left)], [under, layer(right)]].forEach(([image, shown]) => {
        image.src = shown.data;
        image.alt = `${shown.title} of ${scene.name}: ${shown.note}`;
        image.classList.toggle("small", !scene.large);
      });
      slide();
    };
    const figure = (layer, scene) => {
      const [whole, image, caption, title] = ["figure", "img", "figcaption", "b"].map((name) => document.createElement(name));
      image.src = layer.data;
      image.alt = `${layer.title} of ${scene.name}: ${layer.note}`;
      image.classList.toggle("small", !scene.large);
      title.textContent = layer.title;
      caption.append(title, ` ${layer.note}`);
      whole.append(image, caption);
      return whole;
    };
    const choose = () => {
      const scene = scenes[select.value];
      fill(left, scene.layers, ["true"]);
      fill(right, scene.layers, ["normalized", "labels", "false", "mask"]);
      find("#layers").replaceChildren(...scene.layers.map((layer) => figure(layer, scene)));
      compare();
    };
    const step = (by) => {
      const place = select.selectedIndex + by;
      if (place < 0 || place >= select.options.length) return;
      select.selectedIndex = place;
      choose();
    };
    select.addEventListener("change", choose);
    left.addEventListener("change", compare);
    right.addEventListener("change", compare);
    slider.addEventListener("input", slide);
    find("#previous").addEventListener("click", () => step(-1));
    find("#next").addEventListener("click", () => step(1));
    choose();
  }

  // The contact sheet: bands or labels.
  all("[data-labels]").forEach((input) => input.addEventListener("change", () => {
    const sheet = input.closest(".contact");
    all("figure", sheet).forEach((patch) => {
      const labels = find(".labels", patch);
      if (!labels) return;
      labels.hidden = !input.checked;
      find(".bands", patch).hidden = input.checked;
    });
  }));
})();
