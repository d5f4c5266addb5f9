// CSV whose cells a spreadsheet shows as text and not as formulas, by the rules of leadline/cli/files/csv_cells.py.

const FORMULA = /^'*[=+\-@\0\t\r\n＝＋－＠]/;
const PHONE = /^\+[0-9]+$/;

export const csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

function cell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && FORMULA.test(text) && !PHONE.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
