package tasks

var NewTask = newTask
