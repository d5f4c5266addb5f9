// The official JavaScript SDK adds, reads, lists and batches; prints what it got.
// Arguments: the folder in which it is installed, the webhook.
import { createRequire } from 'node:module'

const require = createRequire(process.argv[2])
const { B24Hook } = require('@bitrix24/b24jssdk')
const $b24 = B24Hook.fromWebhookUrl(process.argv[3])

async function call(method, params) {
  const response = await $b24.actions.v2.call.make({ method, params, requestId: method })
  if (!response.isSuccess) throw new Error(response.getErrorMessages().join('; '))
  return response.getData().result
}

const fields = { title: 'Lead & Co', fm: [{ typeId: 'PHONE', valueType: 'WORK', value: '+7700' }] }
const { item } = await call('crm.item.add', { entityTypeId: 1, fields })
const listed = await call('crm.item.list', { entityTypeId: 1, select: ['id'], filter: { '>id': 0 } })
const batch = await $b24.actions.v2.batch.make({
  calls: {
    one: { method: 'crm.item.get', params: { entityTypeId: 1, id: item.id } },
    user: { method: 'user.current', params: {} }
  },
  options: { isHaltOnError: true, returnAjaxResult: true, requestId: 'batch' }
})
const parts = batch.getData()
let refused = ''
try {
  await call('crm.item.get', { entityTypeId: 1, id: 999999 })
} catch (error) {
  refused = error.message
}
const titles = [parts.one.getData().result.item.title, parts.user.getData().result.NAME]
console.log(JSON.stringify({ added: item.id, phone: item.fm[0].value, listed, titles, refused }))
