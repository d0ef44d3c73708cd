-- Health of a TracingPipeline for Argo CD; argocd-cm-patch.yaml beside this file holds it as a setting.
-- Healthy only when the status speaks of this generation and every node that should have a collector has one.
local health = { status = "Progressing", message = "the operator has not seen this generation yet" }
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function is(kind, value)
  return conditions[kind] ~= nil and conditions[kind].status == value
end
local ready = conditions.Ready
if ready ~= nil then
  health.message = (ready.reason or "") .. ": " .. (ready.message or "")
end
if is("Stalled", "True") then
  health.status = "Degraded"
  health.message = (conditions.Stalled.reason or "") .. ": " .. (conditions.Stalled.message or "")
elseif is("Ready", "True") then
  health.status = "Healthy"
elseif is("Ready", "False") and not is("Reconciling", "True") then
  health.status = "Degraded"
end
return health
