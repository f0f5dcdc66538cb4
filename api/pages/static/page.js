// What every page loads. A page of its own needs loads further modules in the block `head` of its template.
import "./connection.js";
import "./live.js";
import "./times.js";
