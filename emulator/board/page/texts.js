// The Russian of the board's texts; the page and the code contain the English ones.

const RUSSIAN = {
  "emulator": "эмулятор", "connecting": "подключение", "live": "на связи", "connection lost, trying again": "связь потеряна, повторяем",
  "Leads · Bitrix24 emulator": "Лиды · эмулятор Битрикс24", "Bitrix24": "Битрикс24",
  "Traffic and faults": "Трафик и сбои", "Requests a second": "Запросов в секунду", "served": "обработано", "refused": "отклонено", "limit": "лимит", "none": "нет",
  "Requests of the last two minutes, second by second, against the limit": "Запросы за две минуты по секундам и лимит",
  "Bucket": "Счётчик запросов", "leads": "лиды", "requests": "запросы", "commands": "команды", "dropped": "оборвано", "Faults": "Сбои",
  "Objects": "Объекты", "Leads": "Лиды", "Deals": "Сделки", "Contacts": "Контакты", "Objects by stage": "Объекты по стадиям", "No name": "Без имени",
  "Change by hand": "Изменить вручную", "Save": "Сохранить", "Delete": "Удалить", "Delete it?": "Удалить?", "Phone": "Телефон", "Another phone": "Ещё телефон",
  "Robots": "Роботы", "Rules of the setting robots; without any, a comment on each new lead.": "Правила из настройки robots; без них — комментарий к каждому новому лиду.",
  "New": "Новая", "Documents": "Подготовка документов", "Prepayment": "Счёт на предоплату", "Final invoice": "Финальный счёт", "Won": "Сделка успешна", "Lost": "Сделка провалена", "Reason of the loss": "Анализ причины провала",
  "Close": "Закрыть", "Move to": "Переместить", "Phones": "Телефоны", "Writes, in order": "Записи по порядку", "Language": "Язык",
  "Lose the next answer": "Потерять следующий ответ", "Lose 5 % of answers": "Терять 5 % ответов", "Lose the next request": "Потерять следующий запрос",
  "Commit 5 s late": "Записать на 5 с позже", "500 to everything": "500 на всё", "502 ten times": "502 десять раз", "Cut the next answer": "Обрезать следующий ответ",
  "Webhook revoked": "Вебхук отозван", "Plan expired": "Тариф истёк", "Overload": "Перегрузка", "Slow: 0.3 s a command": "Медленно: 0,3 с на команду",
  "Clear all faults": "Убрать все сбои", "Reset the portal": "Очистить портал", "s": "с", "Delete all leads?": "Удалить все лиды?",
  "{share} % of ": "{share} % — ", ", {left} left": ", осталось {left}", "{action} on {share}{calls}{left}: ": "{action}, {share}{calls}{left}: ", "all calls": "все вызовы", "applied {times} times": "сработало раз: {times}",
  "origin {origin} has {n} leads": "у источника {origin} лидов: {n}", "and {n} more": "и ещё {n}", "{phone} ({type}, row {row})": "{phone} ({type}, строка {row})",
  "#{id} does not exist.": "№ {id} не существует.",
  "Not processed": "Не обработан", "In progress": "В работе", "Processed": "Обработан", "Waiting for documents": "Ждём документы", "Converted": "Качественный лид", "Low-quality lead": "Некачественный лид",
};

const CHOICE = "board-language";
const wanted = localStorage.getItem(CHOICE) ?? navigator.language;
export const language = wanted.startsWith("ru") ? "ru" : "en";

// A text in the chosen language, with {placeholders} replaced.
export function t(english, values = {}) {
  const text = (language === "ru" && RUSSIAN[english]) || english;
  return Object.entries(values).reduce((found, [name, value]) => found.replace(`{${name}}`, () => value), text);
}

export const number = (value) => value.toLocaleString(language);

// Translates the page, and lets a reader choose the other language.
export function translatePage() {
  document.documentElement.lang = language;
  document.title = t("Leads · Bitrix24 emulator");
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t(node.textContent);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.getAttribute("aria-label")));
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
    button.addEventListener("click", () => {
      localStorage.setItem(CHOICE, button.dataset.language);
      location.reload();
    });
  }
}
