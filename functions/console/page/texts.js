// All texts of the page in both languages, and the formats of numbers and times.

const TEXTS = {
  en: {
    title: "console", skip: "To the users", language: "Language", live: "live", lost: "no connection: {why}",
    portal: "Calls to Bitrix24", running: "Running.", noWorker: "No worker has reported for {ago}: nothing is called.",
    noWorkerEver: "No worker has reported: nothing is called. Start one.",
    heldBy: "Paused by an operator since {at} (manual hold).", pausedBy: "Paused since {at} (circuit open): Bitrix24 rejects all calls: {why}. Next probe at {next}; calls resume automatically once it answers. Check the portal: is the webhook still valid, is the plan paid?",
    pausedSimple: "Paused since {at}: the portal is in simple CRM mode and keeps no leads, each one becomes a deal. Switch it to classic CRM mode in its CRM settings. Next probe at {next}; calls resume automatically.",
    unreachable: "Bitrix24 is unreachable since {at}, {kind}: {why}. Calls continue; failed ones are retried automatically.",
    "not configured properly": "the webhook is not configured properly", "no connection": "no connection", "no answer": "no answer", "server errors": "server errors",
    reasonIs: "Reason: {why}.", pause: "Pause", resume: "Resume now",
    pauseTitle: "Pause all calls to Bitrix24?", pauseWords: "Writes are still accepted and wait. Calls in flight complete.", pauseWhy: "Reason (optional)",
    figures: "Users", total: "all users", synced: "synced", waiting: "waiting", failed: "failed", superseded: "superseded, last hour",
    is_synced: "synced", is_waiting: "waiting", is_failed: "failed",
    oldest: "oldest waiting", unpublished: "not yet in RabbitMQ", retrying: "auto-retrying",
    rate: "Requests to Bitrix24, last 5 minutes", rateWords: "Currently {now} per second, limit {limit}; {left} % of the burst of {burst} is free.", rateFree: "Currently {now} per second; no limit is set.",
    hour: "Settled per minute, last hour", hourWords: "{synced} synced, {superseded} superseded, {failed} failed.",
    timeToLead: "Time to lead, last hour", leadWords: "Median {median}, 95th percentile {p95}.", none: "Nothing in the last hour.", limit: "limit",
    queues: "Queues", ready: "users ready", inFlight: "users in flight", gone: "missing",
    users: "Find a user", find: "Id, phone, lead id, or beginning of the name", findHint: "Examples: 42 · +7700 · Ivan", state: "State", all: "all", search: "Search", more: "More",
    foundSome: "{n} shown.", foundMore: "{n} shown, more available.", foundNone: "No users found.", open: "Open", openUser: "Open user {id}", lead: "lead", noLead: "no lead yet", user: "User",
    retry: "Retry", retryDone: "Retrying user {id}.", retryWaits: "User {id} is already waiting.", allFailed: "Retry all failed",
    allTitle: "Retry all failed users?", allWords: "{n} users have failed. Their leads are compared and corrected.", allDone: "Retrying {n} users.",
    deadLetters: "Dead letters", deadLettersHint: "Failed messages. They stay until you replay or discard them.", show: "Show", deadLettersNone: "There are none.", deadLettersSome: "{n} shown.",
    replay: "Replay", discard: "Discard", discardTitle: "Discard this message permanently?", replayed: "Replayed.", discarded: "Discarded.", read: "Read", goneAlready: "It no longer exists.", attempts: "attempts",
    audit: "Audit trail", auditHint: "Writes and operators' actions, with the name of the key or the operator. Requires a key with the scope operate.", auditActions: "without writes", auditNone: "Nothing yet.", noCaller: "no name", caller: "By",
    close: "Close", cancel: "Cancel", go: "Continue", yes: "Yes",
    keyTitle: "This system requires a key", keyWords: "A key with the scope read, and operate for the buttons. It is kept in this tab only.", key: "Key", wrongKey: "This key is invalid.", noKey: "no key entered",
    why: "Why this user is not in Bitrix24", waitsWhy: "Waiting for Bitrix24", allWell: "In sync with Bitrix24",
    whyTransient: "The portal could not be reached or failed. It is retried automatically, not before {at}; “Retry” does it now.",
    whyPermanent: "Bitrix24 rejects this record. Fix the cause (change the user or the portal), then “Retry”.",
    whyPaused: "All calls are paused: {why}. Nothing is lost; they continue once resumed.",
    byOperator: "by an operator",
    whyUnpublished: "RabbitMQ has not confirmed it yet. The relay publishes it every few seconds.",
    whyUnreceived: "It waits in RabbitMQ: the connector or bitrix-handler has not received it. See the queues and the dead letters.",
    whyUntried: "It waits for a call, not before {at}.", whyTried: "The last attempt failed; the next one is due, not before {at}.", whyInFlight: "Its call is in flight, or its reply is on its way.",
    journey: "Journey of its last writes", noEvents: "The ledger has deleted them.", version: "version {n}",
    create_card: "created", update_card: "changed", move_card: "moved", resynced: "retried by an operator", "send again": "retry", "send all failed again": "retry all failed",
    accepted: "Accepted", published: "Confirmed by RabbitMQ", publishedTimes: "Confirmed by RabbitMQ, published {n} times since", received: "Received", attempt: "Attempt {n}", replied: "Replied",
    outcome_synced: "synced", outcome_superseded: "superseded by a newer write", outcome_failed: "failed", notYet: "not yet", correlation: "Correlation id", phone: "Phone", stage: "Stage", unit: ["s", "min", "h", "d"],
  },
  ru: {
    title: "консоль", skip: "К пользователям", language: "Язык", live: "на связи", lost: "нет связи: {why}",
    portal: "Вызовы Битрикс24", running: "Идут.", noWorker: "Ни один обработчик не отзывался {ago}: вызовов нет.",
    noWorkerEver: "Ни один обработчик не отзывался: вызовов нет. Запустите его.",
    heldBy: "Приостановлены оператором с {at} (ручная пауза).", pausedBy: "Приостановлены с {at} (предохранитель разомкнут): Битрикс24 отклоняет все вызовы: {why}. Следующая проба в {next}; вызовы возобновятся сами, когда он ответит. Проверьте портал: действует ли вебхук, оплачен ли тариф?",
    pausedSimple: "Приостановлены с {at}: портал в простом режиме CRM и не хранит лиды, каждый становится сделкой. Включите в настройках CRM классический режим. Следующая проба в {next}; вызовы возобновятся сами.",
    unreachable: "Битрикс24 недоступен с {at}, {kind}: {why}. Вызовы продолжаются; неудачные повторяются автоматически.",
    "not configured properly": "вебхук настроен неверно", "no connection": "нет соединения", "no answer": "нет ответа", "server errors": "его сервер отвечает ошибками",
    reasonIs: "Причина: {why}.", pause: "Приостановить", resume: "Возобновить сейчас",
    pauseTitle: "Приостановить все вызовы Битрикс24?", pauseWords: "Записи по-прежнему принимаются и ждут. Начатые вызовы завершатся.", pauseWhy: "Причина (необязательно)",
    figures: "Пользователи", total: "всего", synced: "в порядке", waiting: "ждут", failed: "с ошибкой", superseded: "заменены новыми за час",
    is_synced: "в порядке", is_waiting: "ждёт", is_failed: "ошибка",
    oldest: "дольше всех ждёт", unpublished: "ещё не в RabbitMQ", retrying: "повторяются автоматически",
    rate: "Запросы к Битрикс24 за 5 минут", rateWords: "Сейчас {now} в секунду, лимит {limit}; свободно {left} % от запаса в {burst}.", rateFree: "Сейчас {now} в секунду; лимит не задан.",
    hour: "Завершено за минуту, последний час", hourWords: "В порядке {synced}, заменено {superseded}, с ошибкой {failed}.",
    timeToLead: "Время до лида, последний час", leadWords: "Медиана {median}, 95-й процентиль {p95}.", none: "За последний час ничего.", limit: "лимит",
    queues: "Очереди", ready: "готовы к вызову", inFlight: "вызываются", gone: "не найдена",
    users: "Найти пользователя", find: "Id, телефон, id лида или начало имени", findHint: "Например: 42 · +7700 · Иван", state: "Состояние", all: "все", search: "Найти", more: "Ещё",
    foundSome: "Показано: {n}.", foundMore: "Показано: {n}, есть ещё.", foundNone: "Пользователи не найдены.", open: "Открыть", openUser: "Открыть пользователя {id}", lead: "лид", noLead: "лида ещё нет", user: "Пользователь",
    retry: "Повторить", retryDone: "Повтор для пользователя {id}.", retryWaits: "Пользователь {id} уже ждёт.", allFailed: "Повторить все с ошибкой",
    allTitle: "Повторить все с ошибкой?", allWords: "С ошибкой: {n}. Их лиды будут сверены и исправлены.", allDone: "Повторов: {n}.",
    deadLetters: "Недоставленные сообщения", deadLettersHint: "Сообщения, которые не удалось обработать. Хранятся, пока вы их не повторите или не удалите.", show: "Показать", deadLettersNone: "Таких нет.", deadLettersSome: "Показано: {n}.",
    replay: "Повторить", discard: "Удалить", discardTitle: "Удалить это сообщение навсегда?", replayed: "Повторено.", discarded: "Удалено.", read: "Прочитать", goneAlready: "Его уже нет.", attempts: "попыток",
    audit: "Журнал действий", auditHint: "Записи и действия операторов с именем ключа или оператора. Нужен ключ с правом operate.", auditActions: "без записей", auditNone: "Пока ничего.", noCaller: "без имени", caller: "Кто",
    close: "Закрыть", cancel: "Отмена", go: "Дальше", yes: "Да",
    keyTitle: "Нужен ключ", keyWords: "Ключ с правом read, для кнопок ещё и operate. Хранится только в этой вкладке.", key: "Ключ", wrongKey: "Неверный ключ.", noKey: "ключ не введён",
    why: "Почему этого пользователя нет в Битрикс24", waitsWhy: "Ожидает Битрикс24", allWell: "Синхронизировано с Битрикс24",
    whyTransient: "Портал был недоступен или ответил ошибкой. Автоматический повтор не раньше {at}; «Повторить» — сейчас.",
    whyPermanent: "Битрикс24 отклоняет эту запись. Исправьте причину (пользователя или портал), затем «Повторить».",
    whyPaused: "Все вызовы приостановлены: {why}. Ничего не потеряно; вызовы продолжатся после возобновления.",
    byOperator: "оператором",
    whyUnpublished: "RabbitMQ ещё не подтвердил. Relay публикует каждые несколько секунд.",
    whyUnreceived: "Ждёт в RabbitMQ: коннектор или bitrix-handler ещё не получил. См. очереди и недоставленные сообщения.",
    whyUntried: "Ждёт вызова, не раньше {at}.", whyTried: "Последняя попытка не удалась; следующая не раньше {at}.", whyInFlight: "Вызывается сейчас, или ответ уже в пути.",
    journey: "Путь последних записей", noEvents: "Из журнала они уже удалены.", version: "версия {n}",
    create_card: "создан", update_card: "изменён", move_card: "перемещён", resynced: "повторён оператором", "send again": "повтор", "send all failed again": "повтор всех с ошибкой",
    accepted: "Принято", published: "Подтверждено RabbitMQ", publishedTimes: "Подтверждено RabbitMQ, с тех пор опубликовано раз: {n}", received: "Получено", attempt: "Попытка {n}", replied: "Ответ",
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

// Leaves out today's date; `exact` adds milliseconds, for steps that follow each other closely.
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
