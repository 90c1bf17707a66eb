"use strict";
document.querySelector("#row0").textContent = "row 0";
document.querySelector("#row1").textContent = "row 1";
document.querySelector("#row2").textContent = "row 2";
document.querySelector("#row3").textContent = "row 3";
document.querySelector("#row4").textContent = "row 4";
document.querySelector("#row5").textContent = "row 5";
document.querySelector("#row6").textContent = "row 6";
document.querySelector("#row7").textContent = "row 7";
