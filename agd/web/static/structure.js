// Draws a cell and its sites, turned by hand: a parallel projection, the far ones first.
"use strict";
(() => {
  const TURN = 0.01;
  const hue = (symbol) => [...symbol].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 360;

  const show = (figure, crystal) => {
    const canvas = figure.querySelector("canvas");
    const context = canvas.getContext("2d");
    const corners = [];
    for (let i = 0; i < 8; i++) corners.push([0, 1, 2].map((axis) => [0, 1, 2].reduce((sum, k) => sum + ((i >> k) & 1) * crystal.lattice[k][axis], 0)));
    const middle = [0, 1, 2].map((axis) => corners.reduce((sum, corner) => sum + corner[axis] / 8, 0));
    const reach = Math.max(...corners.map((corner) => Math.hypot(...corner.map((x, axis) => x - middle[axis]))));
    let yaw = 0.5;
    let pitch = 0.35;

    const project = (place) => {
      const [x, y, z] = place.map((value, axis) => value - middle[axis]);
      const along = x * Math.cos(yaw) + y * Math.sin(yaw);
      const depth = y * Math.cos(yaw) - x * Math.sin(yaw);
      const scale = (0.42 * Math.min(canvas.width, canvas.height)) / reach;
      return [canvas.width / 2 + along * scale, canvas.height / 2 - (z * Math.cos(pitch) + depth * Math.sin(pitch)) * scale, depth * Math.cos(pitch) - z * Math.sin(pitch), scale];
    };

    const draw = () => {
      const style = getComputedStyle(document.documentElement);
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.strokeStyle = style.getPropertyValue("--quiet");
      context.lineWidth = 1.5;
      for (let i = 0; i < 8; i++) for (let k = 0; k < 3; k++) if (!((i >> k) & 1)) {
        const [from, to] = [project(corners[i]), project(corners[i | (1 << k)])];
        context.beginPath();
        context.moveTo(from[0], from[1]);
        context.lineTo(to[0], to[1]);
        context.stroke();
      }
      crystal.places.map((place, i) => [...project(place), crystal.species[i]]).sort((one, other) => other[2] - one[2]).forEach(([x, y, , scale, symbol]) => {
        const radius = Math.max(9, 0.55 * scale);
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fillStyle = `hsl(${hue(symbol)} 55% 62%)`;
        context.fill();
        context.stroke();
        context.fillStyle = "#111";
        context.font = `${Math.round(Math.min(radius, 22))}px system-ui, sans-serif`;
        context.textAlign = "center";
        context.textBaseline = "middle";
        context.fillText(symbol, x, y);
      });
    };

    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      yaw += event.movementX * TURN;
      pitch = Math.min(Math.max(pitch + event.movementY * TURN, -Math.PI / 2), Math.PI / 2);
      draw();
    });
    canvas.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
      if (!turns) return;
      event.preventDefault();
      yaw += turns[0];
      pitch += turns[1];
      draw();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    draw();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("figure.crystal").forEach(async (figure) => {
    const answer = await fetch(figure.dataset.src);
    if (answer.ok) show(figure, await answer.json());
  }));
})();
