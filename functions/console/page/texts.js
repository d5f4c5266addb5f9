// Every word of the page in both languages, and numbers and times as they are written there.

const TEXTS = {
  en: {
    title: "console", skip: "To the users", language: "Language", live: "live", lost: "no connection: {why}",
    portal: "Calls to Bitrix24", running: "Running.", noWorker: "No worker has reported for {ago}: nothing is called.",
    noWorkerEver: "No worker has reported: nothing is called. Start one.",
    heldBy: "Paused by an operator since {at}.", pausedBy: "Paused since {at}, because the portal serves nobody: {why}. Asked again at {next}; goes on by itself once it answers. Until then look there: is the webhook still valid, the plan paid for?",
    pausedSimple: "Paused since {at}: the portal is in simple CRM mode and keeps no leads, each one becomes a deal. Switch it to classic CRM mode in its CRM settings. Next probe at {next}; calls resume by themselves.",
    unreachable: "Bitrix24 is unreachable since {at}, {kind}: {why}. Calls go on; what fails is tried again by itself.",
    "not configured properly": "the webhook is not configured properly", "no connection": "no connection", "no answer": "no answer", "server errors": "its server fails",
    reasonIs: "Reason: {why}.", pause: "Pause", resume: "Resume now",
    pauseTitle: "Pause all calls to Bitrix24?", pauseWords: "Writes are still accepted and wait. Calls under way are finished.", pauseWhy: "Why (optional)",
    figures: "Users", total: "all users", synced: "synced", waiting: "waiting", failed: "failed", superseded: "superseded, last hour",
    is_synced: "synced", is_waiting: "waiting", is_failed: "failed",
    oldest: "oldest waiting", unpublished: "not yet in RabbitMQ", retrying: "tried again by themselves",
    rate: "Requests to Bitrix24, last 5 minutes", rateWords: "{now} a second lately, the limit is {limit}; of the burst of {burst}, {left} % is free.", rateFree: "{now} a second lately; no limit is set.",
    hour: "Settled per minute, last hour", hourWords: "{synced} synced, {superseded} superseded, {failed} failed.",
    timeToLead: "Time to lead, last hour", leadWords: "Half within {median}, 95 % within {p95}.", none: "Nothing in the last hour.", seconds: "seconds", limit: "limit",
    queues: "Queues", due: "users due for a call", inCall: "users in a call", gone: "not there",
    users: "Find a user", find: "Id, phone, lead id, or how the name begins", findHint: "Examples: 42 · +7700 · Ivan", state: "State", everybody: "everybody", search: "Search", more: "More",
    foundSome: "{n} shown.", foundMore: "{n} shown, there are more.", foundNone: "Nobody found.", open: "Open", openUser: "Open user {id}", lead: "lead", noLead: "no lead yet", user: "User",
    again: "Send again", againDone: "User {id} is sent again.", againWaits: "User {id} is waiting already.", allFailed: "Send all failed again",
    allTitle: "Send all failed users again?", allWords: "{n} users have failed. Their leads are looked at and written once more.", allDone: "{n} users are sent again.",
    letters: "Dead letters", lettersHint: "Messages that could not be served. They stay until somebody decides.", look: "Look", lettersNone: "There are none.", lettersSome: "{n} shown.",
    replay: "Replay", discard: "Discard", discardTitle: "Discard this message for ever?", replayed: "Replayed.", discarded: "Discarded.", read: "Read", goneAlready: "It was gone already.", attempts: "attempts",
    audit: "Audit trail", auditLook: "Show", auditHint: "Who has written and ordered what, by the name of the key or the operator. A key with the scope operate shows it.", auditOrders: "without writes", auditNone: "Nothing yet.", noCaller: "nobody named", caller: "By",
    close: "Close", cancel: "Cancel", go: "Go on", yes: "Yes",
    keyTitle: "This system wants a key", keyWords: "A key with the scope read, and operate for the buttons. It is kept in this tab only.", key: "Key", wrongKey: "This key opens nothing.", noKey: "no key given",
    why: "Why this user is not in Bitrix24", waitsWhy: "On its way to Bitrix24", allWell: "In step with Bitrix24",
    whyPassing: "The portal could not be reached or failed. It is tried again by itself at {at}; “Send again” does it now.",
    whyLasting: "Bitrix24 refuses this record as it is. Mend what it names (change the user or the portal), then “Send again”.",
    whyPaused: "All calls are paused: {why}. Nothing is lost; it goes on when they are resumed, see the top of the page.",
    byOperator: "by an operator",
    whyUnpublished: "RabbitMQ has not confirmed it yet. The relay sends it again every few seconds.",
    whyUnreceived: "It lies in RabbitMQ: the connector or bitrix-handler has not taken it. See the queues and the dead letters.",
    whyUntried: "It waits for a call; the next one is due at {at}.", whyTried: "The last attempt failed; the next one is due at {at}.", whyInCall: "It is being called right now, or its reply is on its way.",
    journey: "Journey of its last writes", noEvents: "The ledger keeps none any more.", version: "version {n}",
    create_card: "created", update_card: "changed", move_card: "moved", looked: "sent again by an operator",
    accepted: "Accepted", published: "Confirmed by RabbitMQ", publishedTimes: "Confirmed by RabbitMQ, sent {n} times since", received: "Received", attempt: "Attempt {n}", replied: "Replied",
    outcome_synced: "synced", outcome_superseded: "superseded by a newer write", outcome_failed: "failed", notYet: "not yet", correlation: "Correlation id", phone: "Phone", stage: "Stage", unit: ["s", "min", "h", "d"],
  },
  ru: {
    title: "консоль", skip: "К пользователям", language: "Язык", live: "на связи", lost: "нет связи: {why}",
    portal: "Вызовы Битрикс24", running: "Идут.", noWorker: "Ни один обработчик не отзывался {ago}: вызовов нет.",
    noWorkerEver: "Ни один обработчик не отзывался: вызовов нет. Запустите его.",
    heldBy: "Приостановлены оператором с {at}.", pausedBy: "Приостановлены с {at}: портал никого не обслуживает: {why}. Следующая проба в {next}; продолжатся сами, когда он ответит. До тех пор проверьте там: действует ли вебхук, оплачен ли тариф?",
    pausedSimple: "Приостановлены с {at}: портал в простом режиме CRM и не хранит лиды, каждый становится сделкой. Включите в настройках CRM классический режим. Следующая проба в {next}; вызовы возобновятся сами.",
    unreachable: "Битрикс24 недоступен с {at}, {kind}: {why}. Вызовы продолжаются; неудачное повторится само.",
    "not configured properly": "вебхук настроен неверно", "no connection": "нет соединения", "no answer": "нет ответа", "server errors": "его сервер отвечает ошибками",
    reasonIs: "Причина: {why}.", pause: "Приостановить", resume: "Возобновить сейчас",
    pauseTitle: "Приостановить все вызовы Битрикс24?", pauseWords: "Записи по-прежнему принимаются и ждут. Начатые вызовы завершатся.", pauseWhy: "Причина (необязательно)",
    figures: "Пользователи", total: "всего", synced: "в порядке", waiting: "ждут", failed: "с ошибкой", superseded: "заменены новыми за час",
    is_synced: "в порядке", is_waiting: "ждёт", is_failed: "ошибка",
    oldest: "дольше всех ждёт", unpublished: "ещё не в RabbitMQ", retrying: "повторятся сами",
    rate: "Запросы к Битрикс24 за 5 минут", rateWords: "Сейчас {now} в секунду, предел {limit}; от запаса в {burst} свободно {left} %.", rateFree: "Сейчас {now} в секунду; предел не задан.",
    hour: "Завершено за минуту, последний час", hourWords: "В порядке {synced}, заменено {superseded}, с ошибкой {failed}.",
    timeToLead: "Время до лида, последний час", leadWords: "Половина за {median}, 95 % за {p95}.", none: "За последний час ничего.", seconds: "секунды", limit: "предел",
    queues: "Очереди", due: "ждут вызова", inCall: "в вызове", gone: "нет такой",
    users: "Найти пользователя", find: "Номер, телефон, номер лида или начало имени", findHint: "Например: 42 · +7700 · Иван", state: "Состояние", everybody: "все", search: "Найти", more: "Ещё",
    foundSome: "Показано: {n}.", foundMore: "Показано: {n}, есть ещё.", foundNone: "Никого не найдено.", open: "Открыть", openUser: "Открыть пользователя {id}", lead: "лид", noLead: "лида ещё нет", user: "Пользователь",
    again: "Отправить снова", againDone: "Пользователь {id} отправлен снова.", againWaits: "Пользователь {id} уже ждёт.", allFailed: "Отправить снова всех с ошибкой",
    allTitle: "Отправить снова всех с ошибкой?", allWords: "С ошибкой: {n}. Их лиды будут проверены и записаны ещё раз.", allDone: "Отправлено снова: {n}.",
    letters: "Недоставленные сообщения", lettersHint: "Сообщения, которые не удалось обработать. Лежат, пока кто-нибудь не решит.", look: "Посмотреть", lettersNone: "Таких нет.", lettersSome: "Показано: {n}.",
    replay: "Повторить", discard: "Выбросить", discardTitle: "Выбросить это сообщение навсегда?", replayed: "Повторено.", discarded: "Выброшено.", read: "Прочитать", goneAlready: "Его уже не было.", attempts: "попыток",
    audit: "Журнал действий", auditLook: "Показать", auditHint: "Кто что записал и распорядился: по имени ключа или оператора. Виден ключу с правом operate.", auditOrders: "без записей", auditNone: "Пока ничего.", noCaller: "без имени", caller: "Кто",
    close: "Закрыть", cancel: "Отмена", go: "Дальше", yes: "Да",
    keyTitle: "Нужен ключ", keyWords: "Ключ с правом read, для кнопок ещё и operate. Хранится только в этой вкладке.", key: "Ключ", wrongKey: "Такой ключ ничего не открывает.", noKey: "ключ не введён",
    why: "Почему этого пользователя нет в Битрикс24", waitsWhy: "На пути в Битрикс24", allWell: "Совпадает с Битрикс24",
    whyPassing: "Портал был недоступен или ответил ошибкой. Повторится само в {at}; «Отправить снова» сделает это сейчас.",
    whyLasting: "Битрикс24 не принимает эту запись такой, какая она есть. Исправьте названное (пользователя или портал), затем «Отправить снова».",
    whyPaused: "Все вызовы приостановлены: {why}. Ничего не потеряно; продолжится после возобновления, см. начало страницы.",
    byOperator: "оператором",
    whyUnpublished: "RabbitMQ ещё не подтвердил. Реле отправляет снова каждые несколько секунд.",
    whyUnreceived: "Лежит в RabbitMQ: коннектор или bitrix-handler ещё не взял. См. очереди и недоставленные сообщения.",
    whyUntried: "Ждёт вызова; следующий в {at}.", whyTried: "Последняя попытка не удалась; следующая в {at}.", whyInCall: "Вызывается прямо сейчас, или ответ уже в пути.",
    journey: "Путь последних записей", noEvents: "В журнале их больше нет.", version: "версия {n}",
    create_card: "создан", update_card: "изменён", move_card: "перемещён", looked: "отправлен снова оператором",
    accepted: "Принято", published: "Подтверждено RabbitMQ", publishedTimes: "Подтверждено RabbitMQ, с тех пор отправлено раз: {n}", received: "Получено", attempt: "Попытка {n}", replied: "Ответ",
    outcome_synced: "в порядке", outcome_superseded: "заменено более новой записью", outcome_failed: "ошибка", notYet: "ещё нет", correlation: "Сквозной номер", phone: "Телефон", stage: "Стадия", unit: ["с", "мин", "ч", "дн"],
  },
};

const CHOICE = "leadline-language";
let language = localStorage.getItem(CHOICE) ?? document.documentElement.lang;
if (!(language in TEXTS)) language = "en";

export const t = (name, values = {}) => Object.entries(values).reduce(
  (text, [key, value]) => text.replace(`{${key}}`, () => value), TEXTS[language][name] ?? name);

export const number = (value, digits = 0) => value === null || value === undefined
  ? "–" : value.toLocaleString(language, { maximumFractionDigits: digits });

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const [s, min, h, d] = TEXTS[language].unit;
  if (seconds < 100) return `${number(seconds, seconds < 10 ? 1 : 0)} ${s}`;
  if (seconds < 6000) return `${number(seconds / 60)} ${min}`;
  return seconds < 172800 ? `${number(seconds / 3600, 1)} ${h}` : `${number(seconds / 86400)} ${d}`;
}

// The day is told only where it is not today's; `exact`: steps follow each other within milliseconds.
export function when(moment, exact = false) {
  if (!moment) return "–";
  const at = new Date(moment);
  const day = at.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  const part = exact ? { fractionalSecondDigits: 3 } : {};
  return at.toLocaleString(language, { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", ...part });
}

export function speak(chosen = language) {
  if (chosen !== language) localStorage.setItem(CHOICE, chosen);
  language = chosen;
  document.documentElement.lang = language;
  document.title = `Leadline · ${t("title")}`;
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = t(each.dataset.text);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", t(each.dataset.label));
  for (const each of document.querySelectorAll("[data-language]")) {
    each.setAttribute("aria-pressed", String(each.dataset.language === language));
  }
}
